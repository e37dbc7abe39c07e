"""int8 files with float32 ends: the same answers, decisions and MACs, with thresholds and a budget as inputs too."""

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite
from keras_dynamic.lite import flatbuffer
from tests.layers import grouped

OUTPUTS = ("logits", "decisions", "macs")


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def guarded():
    """Gates of units and of groups, and an exit."""
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    return grouped.guarded(images(40), 3, [layers.Exit(head, "unit1", name="exit1")], [deciders.Confidence()])


@pytest.mark.filterwarnings("ignore:.*has masks, not IFs")
@pytest.mark.parametrize("how", [{}, {"thresholds": "input", "budget": "input"}, {"input_type": "uint8"}], ids=str)
def test_the_same_answers(guarded, how):
    content = lite.export(guarded, "int8", images(40), OUTPUTS, fold="never", **how)
    made = lite.float_io(content)
    lite.verify(made)
    one, other = lite.Interpreter(content), lite.Interpreter(made)
    kinds = {name: port.dtype.name for name, port in {**other.inputs, **other.outputs}.items()}
    assert kinds["image"] == kinds["logits"] == kinds.get("thresholds", "float32") == "float32"
    assert kinds["decisions"] == kinds.get("budget", "int32") == "int32"
    assert list(other.outputs) == list(one.outputs)
    for image in images(20):
        wanted, found = one.run(image), other.run(image)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_what_stays(guarded):
    float32 = lite.export(guarded, fold="never")
    assert lite.list_operators(lite.float_io(float32)) == lite.list_operators(float32)
    content = lite.export(guarded, "int8", images(40), fold="never")
    once = lite.float_io(content)
    assert lite.list_operators(lite.float_io(once)) == lite.list_operators(once)
    with pytest.raises(ValueError, match="whole"):
        lite.float_io(content[:100])

    def float_inside(model):
        main = model.subgraphs[0]
        operator = next(each for each in main.operators if flatbuffer.op_name(model, each) == "CONV_2D")
        tensor = main.tensors[operator.outputs[0]]
        tensor.type = flatbuffer.schema().TensorType.FLOAT32

    with pytest.raises(ValueError, match="is FLOAT32 in an int8 model"):
        lite.verify(flatbuffer.edited(once, float_inside))


@pytest.mark.parametrize("edit", [lite.float_io, lite.pool_means])
def test_files_of_any_batch(edit, tmp_path):
    """TensorFlow's converter leaves the batch to the run."""
    import tensorflow as tf

    parts = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    keras.Sequential([keras.Input((8, 8, 3)), *parts]).export(tmp_path, verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None].astype(np.float32)] for image in images(10))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content = converter.convert()
    one, other = lite.Interpreter(content), lite.Interpreter(edit(content))
    (name,), (result,) = one.inputs, one.outputs
    for image in images(5):
        given = (image[None].astype(int) - 128).astype(np.int8)
        one.feed({name: given})
        other.feed({name: given if edit is lite.pool_means else image[None].astype(np.float32)})
        one.invoke()
        other.invoke()
        scale = one.outputs[result].scale
        np.testing.assert_allclose(other.results()[result], one.results()[result], atol=3 * scale)
