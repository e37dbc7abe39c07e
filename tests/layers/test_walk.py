"""Exits at which images stop: what goes on, what it costs, in the masked execution."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import cost
from keras_dynamic.deciders import CombinedDecider, Confidence, PerUnitGates
from keras_dynamic.layers import Chain, Collaborative, Decider, DynamicModel, Exit
from keras_dynamic.models import cascade


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def head(**arguments):
    return [layers.GlobalAveragePooling2D(), layers.Dense(3, **arguments)]


def exits(*after):
    return [Exit(head(), unit, name=f"exit{k}") for k, unit in enumerate(after, 1)]


class Told(Decider):
    """Stops at exits as it was told, known while tracing."""

    def __init__(self, **going):
        super().__init__()
        self.going = going

    def choose(self, chain):
        return list(self.going)

    def decide(self, k, x, carry, training=None):
        return {}, {}, carry

    def decide_exit(self, name, logits, x, carry, training=None):
        going = {name: self.going[name]} if name in self.going else {}
        return going, going, carry


@pytest.fixture
def model(toy_chain):
    made = DynamicModel(toy_chain(units=3, exits=exits("unit1", "unit2")), Confidence())
    made.build((None, 8, 8, 3))
    return made


def test_an_image_has_the_answer_of_the_exit_at_which_it_stops(model, toy_images):
    images = toy_images(8)
    whole = model.outcome(images)
    answers = [array(whole.exits["exit1"]), array(whole.exits["exit2"]), array(whole.logits)]
    first, second = np.arange(8) % 2, np.arange(8) // 2 % 2  # goes on behind the exit
    outcome = model.outcome(images, {"exit1": first, "exit2": second})
    at = np.where(first == 0, 0, np.where(second == 0, 1, 2))
    np.testing.assert_allclose(outcome.logits, np.stack(answers)[at, np.arange(8)], atol=1e-6)
    np.testing.assert_array_equal(outcome.decisions["exit1"], first)
    np.testing.assert_array_equal(outcome.decisions["exit2"], first * second)  # who stopped does not go on


def test_cost_is_that_of_what_lies_before_the_exit(model):
    stem, unit, classifier = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4, 4 * 3
    decisions = {"exit1": np.array([0, 0, 1, 1]), "exit2": np.array([0, 1, 0, 1])}
    stopped_at_one = stem + unit + classifier
    stopped_at_two = stopped_at_one + unit + classifier
    wanted = [stopped_at_one, stopped_at_one, stopped_at_two, stopped_at_two + unit + classifier]
    np.testing.assert_array_equal(cost.given(model.cost_tree, decisions), wanted)
    floats = {name: keras.ops.convert_to_tensor(value, "float32") for name, value in decisions.items()}
    np.testing.assert_allclose(cost.expected(model.cost_tree, floats), np.array(wanted) / wanted[-1], rtol=1e-6)


def test_soft_decisions_after_exits_cost_once(model, toy_images, gradient):
    images, classifier = toy_images(2), 4 * 3
    stem, unit = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4
    given = {"exit1": np.float32([0.5, 1.0]), "exit2": np.float32([0.25, 0.5])}
    outcome = model.outcome(images, given)
    np.testing.assert_array_equal(outcome.decisions["exit2"], [0.125, 0.5])
    np.testing.assert_array_equal(outcome.conditional["exit2"], given["exit2"])
    whole, rest = stem + 3 * (unit + classifier), unit + classifier
    macs = stem + rest + given["exit1"] * (rest + given["exit2"] * rest)
    np.testing.assert_allclose(outcome.cost, macs / whole, rtol=1e-6)
    for name, slope in {"exit1": rest * (1 + given["exit2"]), "exit2": given["exit1"] * rest}.items():
        found = gradient(lambda value, name=name: model.outcome(images, given | {name: value}).cost, given[name])
        np.testing.assert_allclose(found, slope / whole, rtol=1e-5)


def test_soft_decisions_inside_a_unit_cost_once(toy_chain, toy_images):
    decider = CombinedDecider([Confidence(), PerUnitGates(hidden=4)])
    inner = DynamicModel(toy_chain(units=2, exits=exits("unit1")), decider, name="inner")
    plain = DynamicModel(toy_chain(units=1), name="plain")
    for network in (plain, inner):
        network.build((None, 8, 8, 3))
    model = cascade([plain, inner])
    model.build((None, 8, 8, 3))
    given = {"inner": 0.5, "inner/unit1": 0.5, "inner/exit1": 0.5, "inner/unit2": 0.25}
    assert model.decision_names == list(given)
    outcome = model.outcome(toy_images(1), {name: np.float32([value]) for name, value in given.items()})
    reported = {name: float(array(value)[0]) for name, value in outcome.decisions.items()}
    assert reported == {"inner": 0.5, "inner/unit1": 0.25, "inner/exit1": 0.25, "inner/unit2": 0.0625}
    assert {name: float(array(value)[0]) for name, value in outcome.conditional.items()} == given
    stem, unit, classifier, gate = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4, 4 * 3, 4 * 4 + 4
    later = gate + 0.25 * unit + classifier
    macs = stem + unit + classifier + 0.5 * (stem + gate + 0.5 * unit + classifier + 0.5 * later)
    np.testing.assert_allclose(outcome.cost * model.cost_tree.total_macs, macs, rtol=1e-6)


def test_confidence_decides_the_exits_by_their_own_answers(model, toy_images):
    images = toy_images(16)
    outcome = model.outcome(images)
    certain = [np.exp(array(outcome.exits[name])) for name in ("exit1", "exit2")]
    certain = [(each / each.sum(axis=1, keepdims=True)).max(axis=1) for each in certain]
    assert all(array(value).all() for value in outcome.decisions.values())  # thresholds are infinite at first
    thresholds = [float(np.median(each)) for each in certain]
    model.decider.set_thresholds(thresholds)
    found = model.outcome(images).decisions
    first = certain[0] < np.float32(thresholds[0])
    np.testing.assert_array_equal(found["exit1"], first)
    np.testing.assert_array_equal(found["exit2"], first & (certain[1] < np.float32(thresholds[1])))


@pytest.mark.parametrize("stop", [1, 2])
def test_a_decision_known_while_tracing_leaves_out_what_lies_behind(stop, toy_chain, toy_images):
    chain = toy_chain(units=3, exits=exits("unit1", "unit2"))
    model = DynamicModel(chain, Told(exit1=stop != 1, exit2=False))
    images = toy_images(4)
    outcome = model.outcome(images)
    assert list(outcome.exits) == ["exit1", "exit2"][:stop]
    np.testing.assert_array_equal(outcome.logits, outcome.exits[f"exit{stop}"])
    np.testing.assert_array_equal(outcome.decisions["exit2"], np.zeros(4))
    macs = cost.given(model.cost_tree, {name: array(value) for name, value in outcome.decisions.items()})
    np.testing.assert_allclose(outcome.cost * model.cost_tree.total_macs, macs, rtol=1e-6)


def test_two_exits_behind_one_unit(toy_chain, toy_images):
    model = DynamicModel(toy_chain(units=2, exits=exits("unit1", "unit1")), Confidence())
    images = toy_images(4)
    whole = model.outcome(images)
    outcome = model.outcome(images, {"exit1": np.ones(4), "exit2": np.zeros(4)})
    np.testing.assert_allclose(outcome.logits, whole.exits["exit2"], atol=1e-6)


def test_gradients_reach_a_soft_decision_and_both_answers(model, toy_images, gradient):
    images = toy_images(4)

    def answer(going):
        return model.outcome(images, {"exit1": going, "exit2": keras.ops.ones(4)}).logits[:, 0]

    outcome = model.outcome(images)
    slope = gradient(answer, np.full(4, 0.5, np.float32))
    np.testing.assert_allclose(slope, (outcome.logits - outcome.exits["exit1"])[:, 0], atol=1e-5)


def test_a_saved_model_stops_where_it_stopped(model, toy_images, fresh_process):
    images = toy_images(8)
    first = array(model.outcome(images).exits["exit1"])
    certain = np.exp(first).max(axis=1) / np.exp(first).sum(axis=1)
    model.decider.set_thresholds([float(np.median(certain)), 0.5])
    outcome, loaded = model.outcome(images), fresh_process(model, images)
    assert 0 < array(outcome.decisions["exit1"]).mean() < 1
    np.testing.assert_array_equal(loaded["decisions exit1"], outcome.decisions["exit1"])
    np.testing.assert_allclose(loaded["logits"], outcome.logits, atol=1e-5)


def test_a_head_may_read_the_answer_of_the_exit_before(toy_chain, toy_images):
    chain = toy_chain(units=2, exits=[*exits("unit1"), Exit(Collaborative(head()), "unit2", name="exit2")])
    model = DynamicModel(chain)
    outcome = model.outcome(toy_images(4))
    bare = [chain.exits[0], Exit(chain.exits[1].head.head, "unit2", name="exit2")]  # the same head, without the answer
    alone = DynamicModel(Chain(chain.stem, chain.units, chain.head, bare)).outcome(toy_images(4))
    np.testing.assert_allclose(outcome.exits["exit2"], alone.exits["exit2"] + outcome.exits["exit1"], atol=1e-6)


@pytest.mark.parametrize("last_reads", [False, True])
def test_an_exit_that_nothing_reads_is_marked(last_reads, toy_chain):
    chain = toy_chain(units=2, exits=[*exits("unit1"), Exit(Collaborative(head()), "unit2", name="exit2")])
    if last_reads:
        chain = Chain(chain.stem, chain.units, Collaborative(chain.head), chain.exits)
    model = DynamicModel(chain)
    model.build((None, 8, 8, 3))
    marked = {node.name: node.exit for node in model.cost_tree.children if node.name.startswith("exit")}
    # exit2 reads exit1, but that counts only if somebody reads exit2
    assert marked == ({"exit1": False, "exit2": False} if last_reads else {"exit1": True, "exit2": True})


def test_units_and_exits_have_names_of_their_own(toy_chain):
    with pytest.raises(ValueError, match=r"units and exits must have distinct names, got \['unit1'\] for both"):
        toy_chain(units=2, exits=[Exit(head(), "unit2", name="unit1")])
