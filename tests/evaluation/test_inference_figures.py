"""The ways to run gates, against what the inference modes give one by one."""

import numpy as np
import pytest

from keras_dynamic.deciders import ChannelGates, FirstK, PerUnitGates
from keras_dynamic.evaluation import ensemble, stochastic
from keras_dynamic.evaluation.inference import inference_figures
from keras_dynamic.layers import DynamicModel
from tests.layers import grouped

UNIT = 2 * 64 * 9 * 16


@pytest.fixture
def model(toy_chain):
    """Two units that run with probabilities 0.8 and 0.3; twelve classes."""
    gated = DynamicModel(toy_chain(units=2, classes=12), PerUnitGates(data_dependent=False))
    gated.build((None, 8, 8, 3))
    for gate, probability in zip(gated.decider.gates.values(), (0.8, 0.3), strict=True):
        gate.logits.assign([0.0, np.log(probability / (1 - probability))])
    return gated


def accuracy(scores, y):
    return (scores.argmax(-1) == y).mean()


def among_five(scores, y):
    return np.mean([label in row for label, row in zip(y, np.argsort(-scores, axis=-1)[:, :5], strict=True)])


def test_every_way_has_a_row(model, toy_images):
    images = toy_images(30)
    total = model.cost_tree.total_macs
    y = np.asarray(model(images)).argmax(-1)
    y[:6] = (y[:6] + 1) % 12  # not all of it is right
    found = inference_figures(model, images, y, taus=(0.2, 0.9), runs=3, ensembles=(1, 3), seed=7)
    threshold, always_on, sampled, single, three = found["inference"]
    assert threshold == {
        "mode": "threshold",
        "tau": 0.5,
        "accuracy": 0.8,
        "accuracy_top5": pytest.approx(among_five(np.asarray(model(images)), y)),
        "macs_mean": total - UNIT,
    }
    everything = np.asarray(DynamicModel(model.chain)(images))
    assert always_on == {
        "mode": "always_on",
        "accuracy": pytest.approx(accuracy(everything, y)),
        "accuracy_top5": pytest.approx(among_five(everything, y)),
        "macs_mean": total,
    }

    logits, cost = stochastic(model, images, runs=3, seed=7)
    ones, fives = ([each(run, y) for run in logits] for each in (accuracy, among_five))
    assert sampled["accuracy"] == pytest.approx(np.mean(ones))
    assert sampled["accuracy_std"] == pytest.approx(np.std(ones, ddof=1))
    assert sampled["accuracy_top5"] == pytest.approx(np.mean(fives))
    assert sampled["accuracy_top5_std"] == pytest.approx(np.std(fives, ddof=1))
    assert sampled["macs_mean"] == pytest.approx(cost.mean() * total)
    assert sampled["macs_mean_std"] == pytest.approx(np.std(cost.mean(axis=1), ddof=1) * total, rel=1e-4)
    assert (sampled["mode"], sampled["runs"]) == ("stochastic", 3)

    probabilities, spent = ensemble(model, images, runs=3, seed=7)
    assert three == {
        "mode": "ensemble",
        "runs": 3,
        "accuracy": pytest.approx(accuracy(probabilities, y)),
        "accuracy_top5": pytest.approx(among_five(probabilities, y)),
        "macs_mean": pytest.approx(spent.mean() * total),
    }
    assert (single["runs"], single["accuracy"]) == (1, pytest.approx(ones[0]))
    assert [(row["tau"], row["macs_mean"]) for row in found["tau_sweep"]] == [(0.2, total), (0.9, total - 2 * UNIT)]


def test_the_network_is_left_as_it_was(model, toy_images):
    model.decider.set_tau(0.1)
    before = np.asarray(model(toy_images()))
    inference_figures(model, toy_images(), np.zeros(6, int), taus=(0.5,), runs=2, ensembles=())
    np.testing.assert_array_equal(model(toy_images()), before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": 1}, "runs must be at least 2, as one has no standard deviation, got 1"),
        ({"runs": 3, "ensembles": (2, 4)}, "an ensemble is made of 1 to 3 runs, got 4; raise runs"),
        ({"ensembles": (0,)}, "an ensemble is made of 1 to 5 runs, got 0"),
        ({"taus": (2.0,), "runs": 2, "ensembles": ()}, r"tau must be a number between 0 and 1, got 2\.0"),
    ],
)
def test_what_cannot_be(changes, message, model, toy_images):
    with pytest.raises(ValueError, match=message):
        inference_figures(model, toy_images(), np.zeros(6, int), **changes)


def test_a_model_without_gates_is_an_error(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), FirstK(1))
    model.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="samples a PerUnitGates decider, got FirstK"):
        inference_figures(model, toy_images(), np.zeros(6, int))


def test_channel_groups_too(toy_images):
    gates = ChannelGates(data_dependent=False, open_probability=0.6, seed=0)
    model = DynamicModel(grouped.chain(units=2), gates)
    model.build((None, 8, 8, 3))
    found = inference_figures(model, toy_images(40), np.zeros(40, int), taus=(0.5, 0.7), runs=2, ensembles=(2,))
    everything = model.cost_tree.total_macs
    open_groups = 2 * (grouped.GROUPS - 1)
    assert [row["macs_mean"] for row in found["tau_sweep"]] == [everything, everything - open_groups * grouped.GROUP]
    _, always_on, sampled, two = found["inference"]
    assert always_on["macs_mean"] == everything
    closed = (everything - sampled["macs_mean"]) / grouped.GROUP
    assert closed == pytest.approx(0.4 * open_groups, abs=4 * np.sqrt(open_groups * 0.24 / 80))
    assert two["macs_mean"] == pytest.approx(2 * sampled["macs_mean"])
