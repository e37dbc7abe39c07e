"""What the scripts say of models, asked directly."""


def test_one_of_the_zoo_is_held_against_the_plain_one_or_with_exits_against_itself(module, model, stopping):
    counterpart = module("models").plain_counterpart
    row = {"depth": 32, "num_classes": 10}
    assert counterpart(model, row) == "zoo:resnet32_cifar10_45k"
    assert counterpart(stopping, {**row, "exits": ["stage2_unit2"]}) is None
