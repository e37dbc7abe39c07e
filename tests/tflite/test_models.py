"""What the scripts say of models, asked directly."""

import keras
import pytest


def test_a_damaged_keras_file(module, model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.keras cannot be loaded as a Keras model: Bad CRC-32"):
        module("models").load(str(path))


def test_code_in_a_keras_file_is_not_run(module, tmp_path):
    """Keras' safe mode: a Lambda layer is Python code inside of the file."""
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)]).save(path)
    with pytest.raises(ValueError, match=r"model\.keras cannot be loaded as a Keras model: .*Lambda"):
        module("models").load(str(path))


def test_one_of_the_zoo_is_held_against_the_plain_one_or_with_exits_against_itself(module, model, stopping):
    counterpart = module("models").plain_counterpart
    row = {"depth": 32, "num_classes": 10}
    assert counterpart(model, row) == "zoo:resnet32_cifar10_45k"
    assert counterpart(stopping, {**row, "exits": ["stage2_unit2"]}) is None
