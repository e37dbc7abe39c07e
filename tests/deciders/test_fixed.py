"""Deciders that look at nothing."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import DistributeK, FirstK, Fixed, Never, Pattern, RandomK
from keras_dynamic.layers import DynamicModel, Exit
from tests.layers.grouped import GROUP, HEAD, STEM
from tests.layers.grouped import chain as grouped_chain


def runs(decider, chain, images):
    """The names of the units that run, the same for all images, and what the outcome says of the others."""
    model = DynamicModel(chain, decider)
    outcome = model.outcome(images)
    decisions = {name: keras.ops.convert_to_numpy(value) for name, value in outcome.decisions.items()}
    assert all(len(set(value.tolist())) == 1 for value in decisions.values())
    for name, value in outcome.probabilities.items():
        np.testing.assert_array_equal(value, decisions[name])
    on = [name for name in model.decision_names if decisions[name][0]]
    unit = 2 * 64 * 9 * 4
    off = len(decisions) - len(on)
    np.testing.assert_allclose(outcome.cost, 1 - unit * off / model.cost_tree.total_macs, rtol=1e-6)
    return on


@pytest.fixture
def chain(toy_chain):
    return toy_chain(units=5, width=2)


@pytest.mark.parametrize(
    ("decider", "wanted"),
    [
        (lambda: Never(), []),
        (lambda: FirstK(0), []),
        (lambda: FirstK(2), [1, 2]),
        (lambda: FirstK(5), [1, 2, 3, 4, 5]),
        (lambda: DistributeK(0), []),
        (lambda: DistributeK(1), [3]),
        (lambda: DistributeK(2), [2, 4]),
        (lambda: DistributeK(3), [1, 3, 5]),
        (lambda: DistributeK(5), [1, 2, 3, 4, 5]),
        (lambda: Pattern({"unit4": 1, "unit1": True, "unit2": 0}), [1, 4]),
    ],
)
def test_which_units_run(decider, wanted, chain, toy_images):
    assert runs(decider(), chain, toy_images(2)) == [f"unit{number}" for number in wanted]


def test_random_k_is_drawn_once_with_its_seed(chain, toy_images):
    drawn = [runs(RandomK(2, seed), chain, toy_images(2)) for seed in range(12)]
    assert {len(names) for names in drawn} == {2}
    assert len({tuple(names) for names in drawn}) > 3
    assert runs(RandomK(2, 7), chain, toy_images(2)) == drawn[7]
    model = DynamicModel(chain, RandomK(2, 7))
    first, again = (model.outcome(toy_images(2), training=training) for training in (True, False))
    keras.tree.map_structure(np.testing.assert_array_equal, first.decisions, again.decisions)


def test_random_k_is_fair(chain):
    chain.build((None, 8, 8, 3))
    counts = dict.fromkeys(chain.skippable_names, 0)
    for seed in range(500):
        for name, run in RandomK(2, seed).pattern(chain.skippable_names).items():
            counts[name] += run
    assert sum(counts.values()) == 1000
    assert max(abs(count - 200) for count in counts.values()) < 50  # 4.5 standard deviations


def test_units_that_a_pattern_does_not_name_always_run(chain, toy_images):
    model = DynamicModel(chain, Pattern({"unit2": 0}))
    assert list(model.outcome(toy_images()).decisions) == model.decision_names == ["unit2"]


def test_a_pattern_may_stop_at_an_exit(toy_chain, toy_images):
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    exits = [Exit(head, "unit1", name="early"), Exit(head, "unit2", name="late")]
    model = DynamicModel(toy_chain(units=3, exits=exits), Pattern({"late": 0, "unit1": 0}))
    outcome = model.outcome(toy_images())
    np.testing.assert_array_equal(outcome.logits, outcome.exits["late"])
    assert {name: float(value[0]) for name, value in outcome.decisions.items()} == {"unit1": 0.0, "late": 0.0}
    everything = model.cost_tree.total_macs  # without the late exit, whose answer nobody reads who goes on
    unit = 2 * 64 * 9 * 4 * 4
    # Less unit1, skipped, and unit3, behind the exit; the late exit stands in for the head.
    np.testing.assert_allclose(outcome.cost * everything, everything - 2 * unit, rtol=1e-6)


def test_a_pattern_of_unknown_units_is_an_error(chain):
    with pytest.raises(ValueError, match=r"runs names unit 'unit9', which is not there"):
        DynamicModel(chain, Pattern({"unit9": 1})).build((None, 8, 8, 3))


@pytest.mark.parametrize("kind", [FirstK, DistributeK, RandomK])
@pytest.mark.parametrize("k", [-1, 1.5, "two", True])
def test_k_is_a_whole_number(kind, k):
    with pytest.raises(ValueError, match=f"k must be a whole number of units, at least 0, got {k!r}"):
        kind(k)


@pytest.mark.parametrize("kind", [FirstK, DistributeK, RandomK])
def test_k_is_at_most_the_units(kind, chain):
    with pytest.raises(ValueError, match="k must be at most the 5 units that can be skipped, got 6"):
        DynamicModel(chain, kind(6)).build((None, 8, 8, 3))


@pytest.mark.parametrize(
    "decider", [Never(), FirstK(2), DistributeK(2), RandomK(2, 3), Pattern({"unit1": 0, "unit2": 1})]
)
def test_saving_keeps_the_choice(decider, chain, toy_images):
    again = type(decider).from_config(decider.get_config())
    assert runs(again, chain, toy_images(2)) == runs(decider, chain, toy_images(2))


def test_a_subclass_writes_its_pattern():
    with pytest.raises(NotImplementedError, match=r"Fixed must define pattern\(names\)"):
        Fixed().pattern([])


def test_a_pattern_of_channel_groups(toy_images):
    model = DynamicModel(grouped_chain(), Pattern({"unit2[3]": 0, "unit1[2]": 1}))
    outcome = model.outcome(toy_images(2))
    assert model.decision_names == list(outcome.decisions) == ["unit1[2]", "unit2[3]"]
    assert [value.tolist() for value in map(keras.ops.convert_to_numpy, outcome.decisions.values())] == [[1, 1], [0, 0]]
    whole = STEM + 8 * GROUP + HEAD
    np.testing.assert_allclose(outcome.cost, (whole - GROUP) / whole, rtol=1e-6)


def test_a_pattern_of_units_and_groups_of_others(toy_images):
    model = DynamicModel(grouped_chain(), Pattern({"unit2": 0, "unit1[2]": 0}))
    whole = STEM + 8 * GROUP + HEAD
    np.testing.assert_allclose(model.outcome(toy_images(1)).cost, (whole - 5 * GROUP) / whole, rtol=1e-6)
    with pytest.raises(ValueError, match=r"runs names unit 'unit1\[4\]', which is not there"):
        DynamicModel(grouped_chain(), Pattern({"unit1[4]": 0})).build((None, 8, 8, 3))
