"""Metrics of epochs, by hand."""

from keras_dynamic.experiments import exit_history

EPOCHS = [
    {"accuracy": 0.9, "val_accuracy": 0.5, "val_near_accuracy": 0.25, "val_far_accuracy": 0.375},
    {"accuracy": 0.9, "val_accuracy": 0.75, "val_near_accuracy": 0.5, "val_far_accuracy": 0.625},
]


def test_each_exit_and_the_head_last():
    found = exit_history(EPOCHS, ["near", "far"])
    assert found == {
        "epochs": [1, 2],
        "accuracies": {"near": [0.25, 0.5], "far": [0.375, 0.625], "head": [0.5, 0.75]},
    }
    assert list(found["accuracies"]) == ["near", "far", "head"]


def test_what_was_not_told_is_left_out():
    nothing = {"epochs": [], "accuracies": {}}
    assert exit_history(EPOCHS, ["other"]) == exit_history(EPOCHS, []) == exit_history([], ["near"]) == nothing
    assert list(exit_history(EPOCHS, ["near", "other"])["accuracies"]) == ["near", "head"]


def test_a_head_that_told_nothing_is_left_out():
    epochs = [{"val_near_accuracy": 0.25}, {"val_near_accuracy": 0.5}]
    assert exit_history(epochs, ["near"]) == {"epochs": [1, 2], "accuracies": {"near": [0.25, 0.5]}}
