"""What the scripts say of models and images, asked directly."""

import pytest

import keras_dynamic as kd


def test_one_of_the_zoo_is_held_against_the_plain_one_or_with_exits_against_itself(module, model, stopping):
    counterpart = module("models").plain_counterpart
    row = {"depth": 32, "num_classes": 10}
    assert counterpart(model, row) == "zoo:resnet32_cifar10_45k"
    assert counterpart(stopping, {**row, "exits": ["stage2_unit2"]}) is None


def test_shipped_images_are_of_ten_classes(module, model):
    check = module("models").check_classes
    check("held_out.npz", model)
    check("shipped", kd.zoo.load("resnet8_cifar10_45k"))
    with pytest.raises(ValueError, match="the model's 4 classes, and those that ship are CIFAR-10's; give --calibr"):
        check("shipped", model)
