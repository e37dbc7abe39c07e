"""Firmware for TensorFlow Lite Micro: the model byte for byte, its operators and no others, memory that is enough."""

import re

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.metadata import signature_names
from tests.layers import grouped

pytest.importorskip("tflite_micro")
OUTPUTS = ("logits", "decisions", "macs")


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def guarded():
    """Gates of units and of groups, and an exit."""
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    return grouped.guarded(images(40), 3, [layers.Exit(head, "unit1", name="exit1")], [deciders.Confidence()])


def written(folder):
    """Returns the text of a firmware's source files."""
    return {path.name: path.read_text() for path in (folder / "src").iterdir()}


@pytest.mark.filterwarnings("ignore:.*has masks, not IFs")
def test_the_model_its_operators_and_its_settings(guarded, tmp_path):
    content = lite.export(guarded, "int8", images(40), OUTPUTS, fold="never", thresholds="input", budget="input")
    made = lite.firmware(content, tmp_path / "made", name="toy")
    files = {"src", "examples", "Makefile", "CMakeLists.txt", "README.md"}
    assert {path.name for path in made.folder.iterdir()} == files
    source = written(made.folder)
    array = source["toy_data.cc"].split("] = {", 1)[1]
    assert bytes(map(int, re.findall(r"\d+", array))) == made.content == lite.plan_arena(lite.pool_means(content))
    parsed = flatbuffer.load(made.content)
    names = {flatbuffer.op_name(parsed, each) for graph in parsed.subgraphs for each in graph.operators}
    assert set(made.operators) == names >= {"IF", "CONV_2D"}
    added = re.findall(r"operators\.Add(\w+)\(\)", source["toy.cc"])
    assert [each.upper() for each in added] == [name.replace("_", "") for name in made.operators]
    assert f"MicroMutableOpResolver<{len(names)}>" in source["toy.cc"]
    inputs, _ = signature_names(parsed)
    for place, name in enumerate(inputs[1:], 1):
        assert re.search(rf"input\({place}\)->data.raw, settings->{name}, \d+\)", source["toy.cc"])
    assert sorted(inputs[1:]) == ["budget", "thresholds"]
    for place, name in enumerate(OUTPUTS):
        assert re.search(rf"memcpy\(outputs->{name}, interpreter.output\({place}\)->data.raw, \d+\)", source["toy.cc"])
    text = "".join(path.read_text() for path in made.folder.rglob("*") if path.is_file())
    assert not re.search("{%|{{ ", text)


def test_the_memory_is_enough(guarded, tmp_path):
    content = lite.export(guarded, fold="never")
    made = lite.firmware(content, tmp_path / "made")
    least = lite.MicroInterpreter(made.content).arena_bytes()
    assert 1.1 * least <= made.arena_bytes < 1.1 * least + 16
    lite.MicroInterpreter(made.content, made.arena_bytes)
    assert f"KD_MODEL_ARENA_BYTES {made.arena_bytes}" in written(made.folder)["kd_model.h"]
    assert "const float image[" in written(made.folder)["kd_model.h"]
    assert lite.firmware(content, tmp_path / "other", arena_bytes=100_001).arena_bytes == 100_016


def test_means_as_they_are(guarded, tmp_path):
    content = lite.export(guarded, "int8", images(40), OUTPUTS, fold="never")
    assert lite.firmware(content, tmp_path / "whole", means="whole").content == lite.plan_arena(content)
    assert "AVERAGE_POOL_2D" in lite.firmware(content, tmp_path / "pooled").operators


def test_what_cannot_be(guarded, tmp_path):
    content = lite.export(guarded, fold="never")
    with pytest.raises(ValueError, match="arena_bytes must be a positive int or None, got 0"):
        lite.firmware(content, tmp_path / "c", arena_bytes=0)
    with pytest.raises(ValueError, match=r"means must be one of \('pooled', 'whole'\), got 'half'"):
        lite.firmware(content, tmp_path / "c", means="half")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ValueError, match=r"folder must be new or empty, got .*full"):
        lite.firmware(content, tmp_path / "full")
    with pytest.raises(ValueError, match="name must be of lower case letters"):
        lite.firmware(content, tmp_path / "c", name="My Model")
    with pytest.raises(ValueError, match="whole"):
        lite.firmware(content[:100], tmp_path / "c")
    with pytest.raises(ValueError, match=r"an output 'logits', got the outputs \['macs'\]"):
        lite.firmware(lite.with_outputs(lite.export(guarded, outputs=OUTPUTS, fold="never"), ["macs"]), tmp_path / "c")

    def unknown(model):
        operator = next(each for each in model.subgraphs[0].operators if flatbuffer.op_name(model, each) == "CONV_2D")
        operator.opcodeIndex = flatbuffer.op_code(model, "BITCAST")

    with pytest.raises(ValueError, match="TensorFlow Lite Micro refuses the model"):
        lite.firmware(flatbuffer.edited(content, unknown), tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]  # nothing is left half-written
