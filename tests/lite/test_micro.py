import os
import sys
import threading

import numpy as np
import pytest

from keras_dynamic.lite import Interpreter, MicroInterpreter, flatbuffer
from keras_dynamic.lite.convert import simplify
from keras_dynamic.lite.micro import native_output

pytest.importorskip("tflite_micro")


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("name", ["units", "exits", "leaves", "locked"])
def test_micro_agrees_with_litert(example, name, int8):
    made = example(name, int8)
    model = simplify(made.outlined)
    micro, litert = MicroInterpreter(model), Interpreter(model, kernels="builtin")
    for image in made.images[:12]:
        one, other = micro.run(image, raw=True), litert.run(image, raw=True)
        assert one.keys() == other.keys()
        for output in one:
            tolerance = 0 if output != "logits" else 1 if int8 else 1e-4
            np.testing.assert_allclose(one[output].astype(float), other[output].astype(float), rtol=0, atol=tolerance)


def test_results_do_not_depend_on_what_ran_before(example):
    made = example("exits", True)
    micro = MicroInterpreter(made.outlined)
    first = micro.run(made.images[0])
    for image in made.images[1:]:
        micro.run(image)
    again = micro.run(made.images[0].astype(np.uint8)[None])
    assert {n: v.tolist() for n, v in first.items()} == {n: v.tolist() for n, v in again.items()}
    assert first["logits"].dtype == np.float32


def test_arena_is_the_least_that_serves(example, capfd):
    model = example("units", True).outlined
    capfd.readouterr()  # what the converter said, if the example has just been made
    needed = MicroInterpreter(model).arena_bytes()
    assert 8 * 8 * 8 < needed < 64 * 1024
    with pytest.raises(ValueError, match=r"refuses the model \(.*larger arena"):
        MicroInterpreter(model, arena_bytes=needed - 128)
    MicroInterpreter(model, arena_bytes=needed).run(np.zeros((8, 8, 3), np.uint8))
    assert capfd.readouterr() == ("", ""), "what the runtime says of its failures must not reach the terminal"


def test_operators_that_it_lacks_are_named(to_tflite, images):
    import tensorflow as tf

    model = to_tflite(lambda image: {"y": tf.sort(image)}, images, False)
    with pytest.raises(ValueError, match="TOPK_V2"):
        MicroInterpreter(model)


def test_bad_models_and_images_are_refused(example):
    made = example("units", True)
    with pytest.raises(ValueError, match="cut short"):
        MicroInterpreter(made.outlined[:-100])
    with pytest.raises(ValueError, match=r"got \[4, 8, 3\]"):
        MicroInterpreter(made.outlined).run(made.images[0][:4])
    model = flatbuffer.load(made.outlined)
    model.subgraphs[0].inputs.append(model.subgraphs[0].inputs[0])
    with pytest.raises(ValueError, match="one input, the image"):
        MicroInterpreter(flatbuffer.pack(model))


def test_without_the_runtime_the_extra_is_named(example, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(ImportError, match=r"pip install --pre keras_dynamic\[micro\]"):
        MicroInterpreter(example("units", True).outlined)


def test_threads_that_collect_output_leave_it_as_it_was():
    def files():
        return [(os.fstat(number).st_dev, os.fstat(number).st_ino) for number in (1, 2)]

    entered, leave, before = threading.Event(), threading.Event(), files()

    def collect():
        with native_output():
            entered.set()
            leave.wait(10)

    other = threading.Thread(target=collect)
    with native_output() as outer:
        other.start()
        assert not entered.wait(0.2), "two threads have redirected the process's output at once"
        with native_output() as inner:
            os.write(1, b"inner")
        os.write(2, b"outer")
    assert entered.wait(10)
    leave.set()
    other.join()
    assert (inner.getvalue(), outer.getvalue()) == ("inner", "outer")
    assert files() == before
