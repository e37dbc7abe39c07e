"""Policies that decide unit by unit: scores of each unit's input against NumPy, cost, first probabilities."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import SequentialPolicy
from keras_dynamic.layers import DynamicModel

UNIT, REST = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12  # MACs of a unit of the toy chain, and of its stem and head


def model_of(chain, **arguments):
    model = DynamicModel(chain, SequentialPolicy(**arguments))
    model.build((None, 8, 8, 3))
    return model


def spread_scores(model, images, seed=0):
    """Sets each score so that it drops its unit for some of these images, by what it sees in them."""
    rng = np.random.default_rng(seed)
    for (name, score), share in zip(model.decider.scores.items(), (0.5, 0.7, 0.3), strict=True):
        kernel = rng.normal(0, 3, (4, 1))
        score.layers[-1].set_weights([kernel, np.zeros(1)])
        chances = keras.ops.convert_to_numpy(model.outcome(images).probabilities[name]).astype(np.float64)
        score.layers[-1].set_weights([kernel, np.array([-np.quantile(np.log(chances / (1 - chances)), share)])])


def test_a_score_sees_the_units_input_after_earlier_decisions(toy_chain, toy_images):
    model, images = model_of(toy_chain()), toy_images(20)
    spread_scores(model, images)
    outcome = model.outcome(images)
    assert not SequentialPolicy.one_shot
    x = keras.ops.convert_to_numpy(model.chain.stem(images))
    paths = []
    for unit in model.chain.units:
        kernel, bias = model.decider.scores[unit.name].layers[-1].get_weights()
        logits = (x.mean(axis=(1, 2)) @ kernel + bias)[:, 0]
        np.testing.assert_allclose(outcome.probabilities[unit.name], 1 / (1 + np.exp(-logits)), atol=1e-4)
        run = logits > 0
        np.testing.assert_array_equal(outcome.decisions[unit.name], run)
        body = keras.ops.convert_to_numpy(unit.body(x))
        x = np.maximum(x + run[:, None, None, None] * body, 0)
        paths.append(run)
    assert len(np.unique(paths, axis=1).T) > 2
    logits = model.chain.head(x)
    np.testing.assert_allclose(outcome.logits, logits, atol=1e-4)


def test_forcing_an_early_unit_changes_what_later_scores_see(sure_of, toy_chain, toy_images):
    model, images = model_of(toy_chain()), toy_images(20)
    spread_scores(model, images)
    first = model.decider.scores["unit1"].layers[-1]
    later = []
    for logit in (-100.0, 100.0):
        first.set_weights([np.zeros((4, 1)), np.array([logit])])
        later.append(keras.ops.convert_to_numpy(model.outcome(images).probabilities["unit2"]))
    assert np.abs(later[0] - later[1]).max() > 0.01


@pytest.mark.parametrize("chance", [1e-6, 1 - 1e-6])
def test_each_score_counts_whether_its_unit_runs_or_not(chance, sure_of, toy_images):
    model = sure_of(SequentialPolicy, [chance] * 3)
    node = model.cost_tree
    assert node.total_macs == REST + 3 * UNIT + 3 * 4  # pooled input of 4 channels, one score
    ran = REST + 12 + (3 * UNIT if chance > 0.5 else 0)
    np.testing.assert_allclose(model.outcome(toy_images()).cost, ran / node.total_macs, rtol=1e-6)


def test_units_that_always_run_have_no_score(toy_chain, toy_images):
    model = model_of(toy_chain(), always=("unit2",))
    assert model.decision_names == list(model.decider.scores) == ["unit1", "unit3"]
    assert list(model.outcome(toy_images()).decisions) == ["unit1", "unit3"]
    assert model.cost_tree.total_macs == REST + 3 * UNIT + 2 * 4


@pytest.mark.ci
@pytest.mark.parametrize("probability", [0.2, pytest.param(0.5, marks=pytest.mark.ci), 0.9])
def test_untrained_scores_are_about_the_open_probability(probability, toy_chain, toy_images):
    found = []
    for seed in range(10):
        outcome = model_of(toy_chain(seed=seed), open_probability=probability).outcome(toy_images())
        found += [keras.ops.convert_to_numpy(value) for value in outcome.probabilities.values()]
    odds = np.log(found) - np.log1p(-np.array(found))
    assert np.median(odds) == pytest.approx(np.log(probability / (1 - probability)), abs=0.7)


@pytest.mark.parametrize("probability", [0, 1, 1.5, -0.1, float("nan")])
def test_an_open_probability_out_of_range_is_an_error(probability):
    with pytest.raises(ValueError, match=f"open_probability must .* got {probability!r}"):
        SequentialPolicy(open_probability=probability)


def test_the_config_holds_the_open_probability():
    assert SequentialPolicy.from_config(SequentialPolicy(0.7).get_config()).open_probability == 0.7
