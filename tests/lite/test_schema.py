import subprocess
import sys

import numpy as np
import pytest

from keras_dynamic.lite import Interpreter, flatbuffer


@pytest.fixture(scope="module")
def model(example):
    return example("units", True).outlined


def test_packing_keeps_the_model(model, example):
    parsed = flatbuffer.load(model)
    again = flatbuffer.pack(parsed)
    assert flatbuffer.pack(flatbuffer.load(again)) == again
    image = example("units", True).images[0]
    before, after = (Interpreter(m).run(image, raw=True) for m in (model, again))
    assert {name: values.tolist() for name, values in before.items()} == {n: v.tolist() for n, v in after.items()}


def test_buffers_are_aligned(model):
    parsed = flatbuffer.load(model)
    contents = [bytes(b.data) for b in parsed.buffers if b.data is not None and len(b.data) >= 64]
    assert contents
    for content in contents:
        assert model.count(content) == 1
        assert model.index(content) % 16 == 0


def test_every_truncation_is_refused(model):
    for length in range(0, len(model), 61):
        with pytest.raises(ValueError, match=r"Expected .*\.tflite.* got \d+ bytes"):
            flatbuffer.load(model[:length])


@pytest.mark.parametrize("foreign", [b"", b"PK\x03\x04" + bytes(100), b"\x1c\0\0\0TFL3", b"\x89HDF\r\n" * 50])
def test_foreign_bytes_are_refused(foreign):
    with pytest.raises(ValueError, match=r"Expected .*\.tflite"):
        flatbuffer.load(foreign)


def test_path_instead_of_bytes_is_refused():
    with pytest.raises(ValueError, match="got str"):
        flatbuffer.load("model.tflite")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda m: m.subgraphs[0].operators[0].inputs.__setitem__(0, 999), "a tensor beyond its"),
        (lambda m: setattr(m.subgraphs[0].operators[0], "opcodeIndex", 99), "operator code 99"),
        (lambda m: setattr(m.subgraphs[0].tensors[0], "buffer", 9999), "a buffer beyond"),
        (lambda m: m.subgraphs.pop(), "names subgraph"),
        (lambda m: m.subgraphs.clear(), "no subgraph"),
    ],
)
def test_references_to_nothing_are_refused(model, damage, words):
    parsed = flatbuffer.load(model)
    damage(parsed)
    with pytest.raises(ValueError, match=words):
        flatbuffer.load(flatbuffer.pack(parsed))


def test_constants_and_scales(to_tflite, images):
    import tensorflow as tf

    kernel = np.arange(3 * 4, dtype=np.float32).reshape(3, 4)
    parsed = flatbuffer.load(to_tflite(lambda image: {"y": tf.reduce_mean(image, (1, 2)) @ kernel}, images, False))
    graph = parsed.subgraphs[0]
    (dense,) = [o for o in graph.operators if flatbuffer.op_name(parsed, o) == "FULLY_CONNECTED"]
    source, weights = (graph.tensors[t] for t in dense.inputs[:2])
    assert flatbuffer.is_constant(parsed, weights)
    assert not flatbuffer.is_constant(parsed, source)
    np.testing.assert_array_equal(flatbuffer.constant(parsed, weights), kernel.T)
    assert flatbuffer.shape(source) == (1, 3)
    assert flatbuffer.type_name(source) == "FLOAT32"
    assert flatbuffer.quantization(source) == ((), ())


def test_scales_of_int8(model):
    parsed = flatbuffer.load(model)
    image = parsed.subgraphs[0].tensors[parsed.subgraphs[0].inputs[0]]
    (scale,), (zero_point,) = flatbuffer.quantization(image)
    assert zero_point == -128
    assert scale == pytest.approx(255 / 255, rel=0.05)
    assert flatbuffer.dtype(image) == np.int8


def test_operator_codes_are_added_once(model):
    parsed = flatbuffer.load(model)
    count = len(parsed.operatorCodes)
    index = flatbuffer.op_code(parsed, "HARD_SWISH")
    assert index == count == flatbuffer.op_code(parsed, "HARD_SWISH")
    assert flatbuffer.op_code(parsed, "HARD_SWISH", version=3) == count + 1


def test_without_any_schema_the_extra_is_named():
    code = """
import sys
for name in ("ai_edge_litert", "tensorflow"):
    sys.modules[name] = None
import importlib.util, types
from pathlib import Path
spec = importlib.util.spec_from_file_location("flatbuffer", sys.argv[1])
flatbuffer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(flatbuffer)
try:
    flatbuffer.schema()
except ImportError as error:
    print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", code, flatbuffer.__file__], capture_output=True, text=True, check=True, timeout=60
    )
    assert "keras_dynamic[tflite]" in said.stdout
