import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from keras_dynamic.lite import Interpreter, flatbuffer
from keras_dynamic.lite.convert import simplify

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(example):
    return example("units", True)


def test_ports_are_the_signatures(made):
    interpreter = Interpreter(made.outlined)
    assert interpreter.backend == "ai_edge_litert"
    image = interpreter.inputs["image"]
    assert (image.shape, image.dtype, image.zero_point) == ((1, 8, 8, 3), np.int8, -128)
    assert {name: (port.shape, port.dtype) for name, port in interpreter.outputs.items()} == {
        "decisions": ((3,), np.bool_),
        "logits": ((1, 5), np.int8),
        "macs": ((1,), np.int32),
    }


def test_int8_agrees_with_float32(example, made):
    """Quantising in and dequantising out: logits of both models agree where the decisions do."""
    int8, float32 = Interpreter(made.outlined), Interpreter(example("units", False).outlined)
    differences, scale = [], int8.outputs["logits"].scale
    for image in made.images:
        one, other = int8.run(image), float32.run(image)
        assert one["logits"].dtype == other["logits"].dtype == np.float32
        if one["decisions"].tolist() == other["decisions"].tolist():
            differences.append(np.abs(one["logits"] - other["logits"]).max())
    assert len(differences) > 12
    assert np.mean(differences) < 4 * scale
    raw = int8.run(made.images[0], raw=True)["logits"]
    assert raw.dtype == np.int8
    expected = (raw.astype(np.float32) - int8.outputs["logits"].zero_point) * np.float32(scale)
    np.testing.assert_array_equal(int8.run(made.images[0])["logits"], expected)


def test_inputs_set_once_serve_every_invoke(made):
    interpreter = Interpreter(made.outlined)
    image = made.images[3].astype(np.uint8)
    expected = interpreter.run(made.images[3])["logits"]
    interpreter.run(made.images[4])
    interpreter.set(image[None])
    for _ in range(3):
        interpreter.invoke()
        np.testing.assert_array_equal(interpreter.results()["logits"], expected)


def test_inputs_may_be_fed_by_name(made):
    interpreter = Interpreter(made.outlined)
    wanted = interpreter.run(made.images[3])["logits"]
    interpreter.run(made.images[4])
    interpreter.feed({"image": made.images[3][None]})
    interpreter.invoke()
    np.testing.assert_array_equal(interpreter.results()["logits"], wanted)
    with pytest.raises(ValueError, match=r"got 'images' \(did you mean 'image'"):
        interpreter.feed({"images": made.images[3][None]})
    with pytest.raises(ValueError, match=r"also needs \['image'\]"):
        interpreter.feed({})


def test_a_path_serves_as_well(made, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(made.outlined)
    for model in (path, str(path)):
        np.testing.assert_array_equal(
            Interpreter(model).run(made.images[0])["logits"], Interpreter(made.outlined).run(made.images[0])["logits"]
        )
    with pytest.raises(FileNotFoundError, match="missing"):
        Interpreter(tmp_path / "missing.tflite")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", ["ai_edge_litert", "tensorflow"])
def test_backends_agree(made, backend, threads):
    interpreter = Interpreter(made.outlined, threads=threads, backend=backend, kernels="builtin")
    reference = Interpreter(made.outlined, kernels="builtin")
    assert interpreter.backend == backend
    for image in made.images[:4]:
        one, other = interpreter.run(image, raw=True), reference.run(image, raw=True)
        assert {name: v.tolist() for name, v in one.items()} == {name: v.tolist() for name, v in other.items()}


def test_further_inputs_go_by_name(to_tflite, made):
    """A model with two inputs: the image, and a decision that is given."""
    model = flatbuffer.load(made.outlined)
    main = model.subgraphs[0]
    branch = next(o for o in main.operators if flatbuffer.branches(o))
    entry = flatbuffer.schema().TensorMapT()
    entry.name, entry.tensorIndex = "one", branch.inputs[0]
    model.signatureDefs[0].inputs.append(entry)
    main.inputs.append(branch.inputs[0])
    main.operators = [o for o in main.operators if branch.inputs[0] not in o.outputs]
    interpreter = Interpreter(flatbuffer.pack(model))
    for decided in (True, False):
        found = interpreter.run(made.images[0], one=np.array([[decided]]))
        assert found["decisions"][0] == decided
    with pytest.raises(ValueError, match=r"also needs \['one'\]"):
        interpreter.run(made.images[0])
    with pytest.raises(ValueError, match=r"got 'onn' \(did you mean 'one'\?\)"):
        interpreter.run(made.images[0], onn=np.array([[True]]))
    with pytest.raises(ValueError, match=r"takes shape \[1, 1\], got \[1\]"):
        interpreter.run(made.images[0], one=np.array([True]))


@pytest.mark.parametrize("length", [0, 4, 40, 4000, -64])
def test_truncated_models_are_refused(made, length):
    with pytest.raises(ValueError, match=r"Expected a.* \.tflite"):
        Interpreter(made.outlined[:length])


def test_wrong_arguments_are_refused(made):
    with pytest.raises(ValueError, match=r"got 'tensorflo' \(did you mean 'tensorflow'\?\)"):
        Interpreter(made.outlined, backend="tensorflo")
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        Interpreter(made.outlined, threads=0)
    with pytest.raises(ValueError, match=r"got \[4, 8, 3\]"):
        Interpreter(made.outlined).run(made.images[0][:4])
    with pytest.raises(ValueError, match=r"Expected a \.tflite"):
        Interpreter(b"PK\x03\x04")


def test_without_any_runtime_the_extra_is_named():
    code = """
import sys
for name in ("ai_edge_litert", "tflite_runtime", "tensorflow"):
    sys.modules[name] = None
from keras_dynamic.lite import Interpreter
try:
    Interpreter(b"0000TFL3")
except ImportError as error:
    print(error)
try:
    Interpreter(b"0000TFL3", backend="tflite_runtime")
except ImportError as error:
    print(error)
"""
    said = run_python(sys.executable, code, "KERAS_BACKEND=jax")
    assert said.splitlines() == [
        "Nothing here runs a .tflite, expected ai_edge_litert or tflite_runtime or tensorflow to be installed; "
        "pip install keras_dynamic[tflite].",
        "Nothing here runs a .tflite, expected tflite_runtime to be installed; pip install keras_dynamic[tflite].",
    ]


def run_python(python, code, *settings, arguments=()):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **dict(setting.split("=") for setting in settings)}
    done = subprocess.run(
        [python, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_tflite_runtime_agrees(example, old_runtime, tmp_path, int8):
    """The last tflite_runtime, which knows no XNNPACK for int8, gives the same results within one step."""
    code = """
import sys
import numpy as np
from keras_dynamic.lite import Interpreter
images = np.load(sys.argv[1])
for path in sys.argv[2:]:
    interpreter = Interpreter(path)
    assert interpreter.backend == "tflite_runtime"
    found = [interpreter.run(image, raw=True) for image in images]
    np.savez(path + ".npz", **{name: np.stack([f[name] for f in found]) for name in found[0]})
"""
    names = ["units", "exits", "leaves", "locked"]
    np.save(tmp_path / "images.npy", example("units", int8).images)
    models = {tmp_path / f"{name}.tflite": simplify(example(name, int8).outlined) for name in names}
    for path, model in models.items():
        path.write_bytes(model)
    arguments = [str(tmp_path / "images.npy"), *map(str, models)]
    run_python(old_runtime, code, "KERAS_BACKEND=jax", arguments=arguments)
    for path, model in models.items():
        found = np.load(f"{path}.npz")
        interpreter = Interpreter(model, kernels="builtin")
        expected = [interpreter.run(image, raw=True) for image in example("units", int8).images]
        for name in found.files:
            tolerance = 0 if name != "logits" else 1 if int8 else 1e-4
            wanted = np.stack([e[name] for e in expected]).astype(float)
            np.testing.assert_allclose(found[name].astype(float), wanted, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def old_runtime(tmp_path_factory):
    """The Python of an environment with tflite_runtime 2.14, which needs an older NumPy than the rest."""
    folder = tmp_path_factory.mktemp("tflite_runtime")
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "tflite-runtime==2.14.0", "numpy<2", "keras>=3.12", "jax"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.skip(f"tflite_runtime 2.14.0 cannot be installed here: {done.stderr.strip()[-300:]}")
    return python
