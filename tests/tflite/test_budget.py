"""Thresholds for a budget, fitted directly."""

import numpy as np
import pytest

import keras_dynamic as kd
from tests.tflite.conftest import SIZE, plain_model

LABELS = np.arange(40) % 4


@pytest.fixture
def budget(module):
    return module("budget")


def test_exits_that_decide_nothing_come_under_thresholds(budget, stopping, model):
    plain = kd.layers.DynamicModel(stopping.chain, name="exits")
    plain.build((None, SIZE, SIZE, 3))
    made = budget.stopping(plain)
    assert (made.name, made.decision_names, type(made.decider)) == ("exits", ["early"], kd.deciders.Confidence)
    assert budget.stopping(stopping) is stopping
    assert budget.stopping(model) is model


def test_gates_get_their_tau(budget, model, images):
    everything = model.cost_tree.total_macs
    before = float(model.decider.tau)
    (line,) = budget.fit_thresholds(model, images, LABELS, macs=0.8 * everything)
    found = kd.evaluation.evaluate(model, images, LABELS)
    assert line.startswith(
        f"tau {float(model.decider.tau):.4g}: {found.accuracy:.2%} right at {found.macs.mean():,.0f}"
    )
    model.decider.set_tau(before)


def test_exits_and_gates_get_both(budget, stopping, images):
    gates = kd.deciders.PerUnitGates(open_probability=0.5)
    both = kd.layers.DynamicModel(stopping.chain, kd.deciders.CombinedDecider([gates, kd.deciders.Confidence()]))
    both.build((None, SIZE, SIZE, 3))
    (line,) = budget.fit_thresholds(both, images, LABELS, macs=0.8 * both.cost_tree.total_macs)
    assert line.startswith("thresholds ")
    assert ", tau " in line.split(":")[0]


def test_images_that_networks_were_trained_on_are_told(budget, images):
    networks = [plain_model(4), plain_model(8)]
    seen = networks[1].predict(images, verbose=0).argmax(-1)
    _, warning = budget.fit_thresholds(kd.models.cascade(networks), images, seen, macs=1e9)
    assert warning.startswith("warning: network 'plain8' is 100.0% right on these data, of which the largest class has")


def test_nothing_to_fit(budget, images):
    with pytest.raises(ValueError, match=r"a budget is for a cascade, .* which has none of these"):
        budget.fit_thresholds(kd.zoo.load("resnet8_cifar10_45k"), images, None, macs=1e6)
