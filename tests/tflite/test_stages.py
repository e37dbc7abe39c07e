"""Host loops of stages in C++ and Kotlin: the answers of the file with conditions, on 120 images."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import keras_dynamic as kd
from keras_dynamic.lite.interpreter import encode_image, signatures
from tests.tflite.conftest import ROOT

IMAGES = 120
INCLUDE = os.environ.get("LITERT_INCLUDE", "")
needs_kotlin = pytest.mark.skipif(shutil.which("kotlinc") is None, reason="the Kotlin compiler is not installed")
needs_headers = pytest.mark.skipif(
    not Path(INCLUDE, "litert/c/litert_model.h").exists() or shutil.which("g++") is None,
    reason="LITERT_INCLUDE names no folder with LiteRT's headers, or g++ is not installed",
)
FILES = {"cascade": ["resnet8_cifar10_45k", "resnet20_cifar10_45k"], "exits": ["resnet32_cifar10_exits"]}
KINDS = [(name, quantize) for name in FILES for quantize in (None, "int8")]


def whole_file(name, quantize):
    """Returns the bytes of a file with conditions, and of its stages as one, with float32 ends."""
    shipped = kd.data.shipped()
    networks = [kd.zoo.load(each) for each in FILES[name]]
    model = networks[0]
    if len(networks) > 1:
        model = kd.models.cascade(networks)
        model.fit_thresholds(shipped.x_heldout, shipped.y_heldout, macs=22e6)
    outputs = ("logits", "decisions", "macs")
    content = kd.lite.export(model, quantize, shipped.x_heldout, outputs, thresholds="input")
    return content, kd.lite.float_io(kd.lite.join_stages(kd.lite.stages(content)))


def answers_of(content):
    """Returns logits, exit and MACs of each image, by the file with conditions."""
    interpreter, unit = kd.lite.Interpreter(content), kd.lite.read_metadata(content)["macs_unit"]
    found = [interpreter.run(image) for image in kd.data.shipped().x_test[:IMAGES]]
    return [(each["logits"][0], int(each["decisions"].sum()), int(each["macs"].item()) * unit) for each in found]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "quantize"), KINDS)
def test_python(name, quantize):
    content, staged = whole_file(name, quantize)
    stages, wanted = kd.lite.Stages(staged), answers_of(content)
    assert len({exit_ for _, exit_, _ in wanted}) > 1
    for image, (logits, exit_, macs) in zip(kd.data.shipped().x_test[:IMAGES], wanted, strict=True):
        found = stages.run(image)
        np.testing.assert_array_equal(found.logits[0], logits)
        assert found[1:] == (exit_, macs)


def built(source, folder):
    """Returns a program with the loop of tflite/cpp, linked with the library that comes with ai_edge_litert."""
    import ai_edge_litert

    program, library = folder / source.stem, Path(ai_edge_litert.__file__).parent
    loop = ROOT / "tflite/cpp"
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", f"-isystem{INCLUDE}", f"-I{loop}", str(source)]
    command += [str(loop / "stages.cc"), str(library / "libLiteRt.so"), f"-Wl,-rpath,{library}", "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@pytest.fixture(scope="module")
def classify_stages(tmp_path_factory):
    return built(ROOT / "tflite/cpp/classify_stages.cc", tmp_path_factory.mktemp("cpp"))


def classified(program, *arguments, folder):
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@needs_headers
@pytest.mark.parametrize(("name", "quantize"), KINDS)
def test_cpp(name, quantize, classify_stages, tmp_path):
    content, staged = whole_file(name, quantize)
    (tmp_path / "stages.tflite").write_bytes(staged)
    names = [f"{number}.bin" for number in range(IMAGES)]
    for path, image in zip(names, kd.data.shipped().x_test[:IMAGES], strict=True):
        (tmp_path / path).write_bytes(image.tobytes())
    done = classified(classify_stages, "stages.tflite", *names, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if " class " in line]
    for line, path, (logits, exit_, macs) in zip(lines, names, answers_of(content), strict=True):
        head, _, numbers = line.partition(" logits ")
        assert head == f"{path} class {logits.argmax()} exit {exit_} MACs {macs}"
        np.testing.assert_array_equal(np.float32(numbers.split()), logits)


@pytest.mark.slow
@needs_headers
def test_cpp_refuses(classify_stages, tmp_path):
    content, staged = whole_file("cascade", "int8")
    files = {
        "whole.tflite": content,
        "int8.tflite": kd.lite.join_stages(kd.lite.stages(content)),
        "stages.tflite": staged,
        "bare.tflite": kd.lite.flatbuffer.edited(staged, lambda model: setattr(model, "metadata", [])),
        "text.tflite": b"no model",
        "image.bin": bytes(32 * 32 * 3),
        "short.bin": bytes(10),
    }
    for path, data in files.items():
        (tmp_path / path).write_bytes(data)
    refused = {
        "whole.tflite is no file of stages; make it by kd.lite.join_stages": ["whole.tflite", "image.bin"],
        "give the file float32 ends by kd.lite.float_io": ["int8.tflite", "image.bin"],
        "has no metadata of keras_dynamic; make it by": ["bare.tflite", "image.bin"],
        "text.tflite is no .tflite that can be read": ["text.tflite", "image.bin"],
        "Expected 3072 numbers as image, got 10": ["stages.tflite", "short.bin"],
        "none.bin cannot be read": ["stages.tflite", "none.bin"],
    }
    for message, arguments in refused.items():
        done = classified(classify_stages, *arguments, folder=tmp_path)
        assert done.returncode == 1
        assert message in done.stderr


@pytest.mark.slow
@needs_headers
def test_cpp_frees_what_it_has_of_a_file_that_it_refuses(tmp_path):
    content, _ = whole_file("cascade", "int8")
    (tmp_path / "int8.tflite").write_bytes(kd.lite.join_stages(kd.lite.stages(content)))
    program = built(ROOT / "tests/tflite/refused_stages.cc", tmp_path)
    done = classified(program, "int8.tflite", folder=tmp_path)
    grown = re.search(r"grew by (-?\d+) pages", done.stdout)
    assert int(grown[1]) < 1000  # some 300 for each of 39 times, if it does not


@pytest.mark.slow
@needs_kotlin
@pytest.mark.parametrize(("name", "quantize"), KINDS)
def test_kotlin(name, quantize, tmp_path):
    """The loop of the Android sample, on what each stage gave here, recorded."""
    content, staged = whole_file(name, quantize)
    metadata, runners = kd.lite.read_metadata(staged), signatures(staged)
    header = ["stages", "stage_inputs", "stage_macs", "stops_at"]
    lines = [
        "\t".join(" ".join(each) if isinstance(each, list) else str(each) for each in metadata[key]) for key in header
    ]
    for number, image in enumerate(kd.data.shipped().x_test[:IMAGES]):
        values = {"thresholds": np.float32(metadata["thresholds"])}
        values["image"] = encode_image(image, runners["stage_1"].inputs["image"])
        for key, runner in runners.items():  # all of them: which run is the loop's to decide
            found = runner.run({each: values[each] for each in runner.inputs})
            values |= found
            for output, array in found.items():
                numbers = " ".join(map(str, array.ravel().tolist())) if output in ("logits", "go_on") else ""
                lines.append(f"{number}\t{key}\t{output}\t{numbers}")
    (tmp_path / "recorded.txt").write_text("\n".join(lines))
    sources = [ROOT / "tflite/android/app/src/main/java/keras_dynamic/sample/Stages.kt"]
    sources.append(ROOT / "tests/tflite/stages_recorded.kt")
    jar = tmp_path / "stages.jar"
    subprocess.run(["kotlinc", *map(str, sources), "-include-runtime", "-d", str(jar)], check=True)
    command = ["java", "-cp", str(jar), "keras_dynamic.sample.Stages_recordedKt", str(tmp_path / "recorded.txt")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == [f"{logits.argmax()} {exit_} {macs}" for logits, exit_, macs in answers_of(content)]
