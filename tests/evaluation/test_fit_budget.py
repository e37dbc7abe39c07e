"""Thresholds and tau for a budget."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import CombinedDecider, Confidence, ExitGates, PerUnitGates, Policy, SequentialPolicy
from keras_dynamic.evaluation import evaluate, exit_answers, fit_budget
from keras_dynamic.layers import DynamicModel
from keras_dynamic.ops import budget_thresholds
from tests.evaluation.exits import by_hand, with_gates

X = np.random.default_rng(0).normal(size=(40, 1, 1, 2)).astype(np.float32)
LABELS = np.random.default_rng(1).integers(0, 3, 60)


def spent(model, images):
    return evaluate(model, images, np.zeros(len(images), int)).macs


@pytest.mark.parametrize(("budget", "stopping"), [(4.0, 40), (5.0, 30), (7.95, 1), (8.0, 0), (9.0, 0)])
def test_as_many_go_on_as_the_budget_pays_for(budget, stopping):
    model = by_hand(Confidence())
    found = fit_budget(model, X, macs=budget)
    macs = spent(model, X)
    assert (macs == 4).sum() == stopping
    assert (found.spent, found.tau, found.accuracy) == (macs.mean(), None, None)
    np.testing.assert_array_equal(model.decider.thresholds, found.thresholds)


def test_a_budget_of_milliseconds_has_its_own_costs():
    model = by_hand(Confidence())
    found = fit_budget(model, X, ms=2.0, table=[1.0, 5.0])  # a quarter of the images goes on
    assert (spent(model, X) == 8).sum() == 10
    assert found.spent == pytest.approx(2.0)


def test_the_measure_is_the_deciders():
    model = by_hand(Confidence("margin"))
    (threshold,) = fit_budget(model, X, macs=6.0).thresholds
    logits = X[:, 0, 0] @ [[1.5, 0], [0, 1]]
    assert threshold == pytest.approx(np.sort(np.abs(logits[:, 0] - logits[:, 1]))[20], rel=1e-5)


def _dense(units):
    return keras.layers.Dense(units, kernel_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=1))


def with_tau(kind, toy_chain, images, spread_gates):
    if kind == "exit gates":
        return with_gates(toy_chain, ExitGates(widths=(4,), open_probability=0.6))
    deciders = {
        "gates": PerUnitGates,
        "policy": lambda: Policy(keras.Sequential([keras.layers.Rescaling(1 / 50), keras.layers.Flatten(), _dense(3)])),
        "sequential": lambda: SequentialPolicy(open_probability=0.3),
    }
    model = DynamicModel(toy_chain(), deciders[kind]())
    model.build((None, 8, 8, 3))
    if kind == "gates":
        spread_gates(model, images)
    return model


@pytest.mark.parametrize(
    "kind", ["gates", *(pytest.param(kind, marks=pytest.mark.ci) for kind in ("policy", "sequential")), "exit gates"]
)
def test_tau_comes_up_to_the_budget(kind, toy_chain, toy_images, spread_gates):
    images = toy_images(60)
    model = with_tau(kind, toy_chain, images, spread_gates)
    model.decider.set_tau(1.0)
    least = spent(model, images).mean()
    model.decider.set_tau(0.0)
    most = spent(model, images).mean()
    for share in (0.0, 0.3, 0.8):
        budget = least + share * (most - least)
        found = fit_budget(model, images, macs=budget)
        assert float(model.decider.tau) == pytest.approx(found.tau)
        assert found.spent == spent(model, images).mean() <= budget
        if kind != "sequential":  # it looks at what it decided before: images may differ by whole paths
            assert found.spent > budget - 0.06 * (most - least)
        assert (found.thresholds, found.accuracy) == (None, None)
    assert fit_budget(model, images, macs=2 * most) == (most, None, 0.0, None)


def test_gates_nearly_always_open_are_told_apart(toy_chain, toy_images, spread_gates):
    images = toy_images(60)
    model = with_tau("gates", toy_chain, images, spread_gates)
    for gate in model.decider.gates.values():
        gate.bias.assign(gate.bias + [0.0, 9.0])  # probabilities from 0.999 on
    model.decider.set_tau(1.0)
    least, most = spent(model, images).mean(), model.cost_tree.total_macs
    found = fit_budget(model, images, macs=(least + most) / 2)
    assert found.tau > 0.999
    assert found.spent == pytest.approx((least + most) / 2, rel=0.02)


@pytest.fixture
def both(toy_chain, toy_images, spread_gates, spread_exits):
    """Gates and confidence over one chain, and images on which both differ."""
    gates, images = PerUnitGates(), toy_images(60)
    model = with_gates(toy_chain, CombinedDecider([gates, Confidence()]))
    spread_gates(SimpleNamespace(decider=gates, outcome=model.outcome), images)
    spread_exits(model, images)
    return model, images


@pytest.mark.ci
def test_thresholds_and_tau_together_are_the_most_accurate_pair(both):
    model, images = both
    gates, certain = model.decider.deciders
    gates.set_tau(1.0)
    certain.set_thresholds([0, 0])
    least, budget = spent(model, images).mean(), 0.55 * model.cost_tree.total_macs
    found = fit_budget(model, images, macs=budget, y=LABELS)
    result = evaluate(model, images, LABELS)
    assert least < found.spent == result.macs.mean() <= budget
    assert found.accuracy == result.accuracy
    assert (float(gates.tau), found.tau) == pytest.approx((found.tau, found.tau))
    np.testing.assert_array_equal(certain.thresholds, found.thresholds)

    accuracies = []
    for tau in (0.0, 0.2, 0.5, 0.8, 1.0):
        gates.set_tau(tau)
        answers = exit_answers(model, images)
        certain.set_thresholds(budget_thresholds(answers.confidences, answers.macs, budget))
        result = evaluate(model, images, LABELS)
        assert result.macs.mean() <= budget
        accuracies.append(result.accuracy)
    assert found.accuracy >= max(accuracies) > min(accuracies)


def test_what_cannot_be_leaves_the_model_as_it_was(both):
    model, images = both
    gates, certain = model.decider.deciders
    gates.set_tau(0.25)
    certain.set_thresholds([0.5, 0.75])
    for arguments, message in (
        ({"macs": 1000}, r"at least [\d,]+ MACs per image, the least that .* got 1,000 MACs; raise it"),
        ({"macs": 1e6, "y": None}, "fitted together by accuracy, which needs labels, got none; give y="),
        ({"macs": 1e6, "y": LABELS[1:]}, "y must be 60 labels, one per image, got 59"),
        ({"ms": 1.0, "table": [1, 2, 3]}, "does not include what gates or a policy save"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_budget(model, images, **{"y": LABELS, **arguments})
        assert float(gates.tau) == 0.25
        np.testing.assert_array_equal(certain.thresholds, [0.5, 0.75])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a budget is macs, ms or mj, mean per image, or a deadline, got none; give one"),
        ({"macs": 6.0, "ms": 2.0}, r"got macs=6\.0, ms=2\.0, mj=None"),
        ({"ms": 2.0}, r"ms need one, as lite\.part_times measures it; got ms with table=None"),
        ({"macs": 6.0, "table": [1, 2]}, r"macs needs none; got MACs with table=\[1, 2\]"),
        ({"table": [1, 2]}, "got none; give one"),
        ({"deadline": 0}, "deadline must be a positive number, got 0"),
        ({"deadline": 3}, "the deadline must be at least 4 MACs, what an image costs that stops first, got 3 MACs"),
        ({"deadline": 0.4, "table": [0.5, 2]}, r"the deadline must be at least 0\.5, .* got 0\.4"),
        ({"macs": "6"}, "macs must be a non-negative number, got '6'"),
        ({"macs": 3.0}, "at least 4 MACs per image, the least that this network can do with .* got 3 MACs; raise it"),
        ({"ms": 0.25, "table": [0.5, 2]}, r"at least 0\.5 ms per image, .* got 0\.25 ms; raise it"),
        ({"ms": 1.0, "table": [0.5, 2, 3]}, r"must be 2 positive numbers, rising, .* got \[0\.5, 2\.0, 3\.0\]"),
        ({"ms": 1.0, "table": [2, 2]}, r"positive numbers, rising, .* got \[2, 2\]"),
        ({"ms": 1.0, "table": [0, 2]}, "positive numbers, rising"),
        ({"ms": 1.0, "table": [1, float("nan")]}, "positive numbers, rising"),
        ({"ms": 1.0, "table": 1.0}, "table must be {part: cost}, or positive numbers"),
    ],
)
def test_budgets_that_cannot_be(arguments, message):
    model = by_hand(Confidence())
    with pytest.raises(ValueError, match=message):
        fit_budget(model, X, **arguments)
    assert np.isinf(np.asarray(model.decider.thresholds)).all()


def test_networks_and_images_that_cannot_be(toy_chain, toy_images):
    with pytest.raises(ValueError, match="of gates or a policy; Always has none of these here; give"):
        fit_budget(by_hand(), X, macs=6.0)
    with pytest.raises(ValueError, match="held-out or test images, got none; give images"):
        fit_budget(by_hand(Confidence()), X[:0], macs=6.0)
    model = DynamicModel(toy_chain(), PerUnitGates())
    model.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match=r"at least .* MACs per image, the least that this network can do with"):
        fit_budget(model, toy_images(4), macs=5.0)
    assert float(model.decider.tau) == 0.5


def test_the_least_there_is_is_a_budget():
    """Of 1,000 images, whose mean of as many times 0.4 is, as numbers round, more than that."""
    many, least = np.tile(X, (25, 1, 1, 1)), 0.4
    assert np.full(1000, least).mean() > least
    model = by_hand(Confidence())
    found = fit_budget(model, many, ms=least, table=[least, 2.0])
    assert found.spent == pytest.approx(least)
    assert (spent(model, many) == 4).all()


def test_tau_has_an_accuracy_if_there_are_labels(toy_chain, toy_images, spread_gates):
    images = toy_images(60)
    model = with_tau("gates", toy_chain, images, spread_gates)
    found = fit_budget(model, images, macs=0.8 * model.cost_tree.total_macs, y=LABELS)
    assert found.accuracy == evaluate(model, images, LABELS).accuracy > 0
    with pytest.raises(ValueError, match="y must be 60 labels, one per image, got 59"):
        fit_budget(model, images, macs=1e6, y=LABELS[1:])
    with pytest.raises(ValueError, match="labels must be class numbers from 0 to 2, got some from 1 to 3"):
        fit_budget(model, images, macs=1e6, y=LABELS + 1)


PARTS = {"stem": 0.0, "first": 1.0, "early": 0.0, "second": 3.0, "head": 0.0}


def test_a_table_of_parts_adds_up_to_the_stops():
    model = by_hand(Confidence())
    found = fit_budget(model, X, ms=1.75, table=PARTS | {"decider": 0.25})  # 1.25 to stop, 4.25 to the end
    assert (spent(model, X) == 8).sum() == 6  # of 40: 1.25 + 3 * 6 / 40 = 1.7
    assert found.spent == pytest.approx(1.7)


@pytest.mark.parametrize(("deadline", "going"), [(4.0, 40), (3.9, 0), (1.0, 0)])
def test_no_image_is_over_the_deadline(deadline, going):
    model = by_hand(Confidence())
    found = fit_budget(model, X, deadline=deadline, table=PARTS)
    assert (spent(model, X) == 8).sum() == going
    assert found.spent == (4.0 if going else 1.0)
    far = np.full_like(X, 1e-6)  # which would go on at any threshold over one half
    assert (spent(model, far) == 8).all() == bool(going)


def test_a_deadline_beside_a_mean():
    model = by_hand(Confidence())
    assert fit_budget(model, X, ms=2.5, deadline=4.0, table=PARTS).spent == pytest.approx(2.5)
    assert fit_budget(model, X, ms=2.5, deadline=3.0, table=PARTS).spent == 1.0


def test_gates_in_milliseconds(toy_chain, toy_images, spread_gates):
    images = toy_images(60)
    model = with_tau("gates", toy_chain, images, spread_gates)
    units = dict(zip(model.chain.skippable_names, (1.0, 2.0, 4.0), strict=False))
    table = {"stem": 3.0, "head": 1.0, "decider": 0.5, **units}
    found = fit_budget(model, images, ms=0.5 * sum(table.values()) + 1, table=table)
    decisions = evaluate(model, images).decisions
    by_hand_ms = 4.5 + sum(cost * decisions[name] for name, cost in units.items())
    assert found.spent == pytest.approx(by_hand_ms.mean())
    assert found.spent <= 0.5 * sum(table.values()) + 1
    everything = sum(table.values())
    assert fit_budget(model, images, deadline=everything, table=table).tau == 0.0
    with pytest.raises(ValueError, match=f"which costs {everything}, got a deadline of {everything - 1}"):
        fit_budget(model, images, deadline=everything - 1, table=table)
    with pytest.raises(ValueError, match="no stages, got table="):
        fit_budget(model, images, ms=3, table=[1, 2])
