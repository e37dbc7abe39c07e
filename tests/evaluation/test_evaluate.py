import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import ChannelGates, Never, Pattern, PerUnitGates
from keras_dynamic.evaluation import (
    accuracy_shuffled,
    compiled_outcome,
    evaluate,
    greedy_patterns,
    pattern_macs,
    static_twin,
)
from keras_dynamic.layers import Chain, Decider, DynamicModel, Residual
from keras_dynamic.models import cascade
from tests.layers import grouped

CONV = 4 * 4 * 9  # MACs of a 3x3 convolution from one channel to one, on 4x4 pixels


@keras.saving.register_keras_serializable("test_evaluate")
class Bright(Decider):
    """Runs unit k if the image's brightest pixel exceeds 10 (k + 1)."""

    def decide(self, k, x, carry, training=None):
        name = self.unit_names[k]
        run = keras.ops.max(x, axis=(1, 2, 3)) > 10.0 * (k + 1)
        return {name: run}, {name: run}, carry


@keras.saving.register_keras_serializable("test_evaluate")
class Add(keras.layers.Layer):
    """Adds a number to a feature map, at the price of a 3x3 convolution."""

    def __init__(self, number, **kwargs):
        super().__init__(**kwargs)
        self.number = number

    def call(self, x):
        return keras.ops.zeros_like(x) + self.number


@pytest.fixture(scope="module", autouse=True)
def cost_of_add():
    from keras_dynamic.cost import register

    register(Add)(lambda layer, inputs: CONV)


def model_of(numbers, decider):
    """Images of one value v; logits are (v + the sum of the numbers that ran, 100): class 0 if that is over 100."""
    units = [Residual(Add(number), name=f"u{k}") for k, number in enumerate(numbers)]
    dense = keras.layers.Dense(2, use_bias=True)
    model = DynamicModel(Chain(keras.layers.Identity(), units, [keras.layers.GlobalMaxPooling2D(), dense]), decider)
    model.build((None, 4, 4, 1))
    dense.set_weights([np.array([[1.0, 0.0]]), np.array([0.0, 100.0])])
    return model


def images(values):
    return np.tile(np.array(values, np.float32)[:, None, None, None], (1, 4, 4, 1))


HEAD = 2  # MACs of Dense(2) on one channel


def test_figures_of_four_images():
    model = model_of([90.0, 5.0], Bright())
    # 5: nothing runs, 5. 15: u0, then 105 > 20, so u1: 110. 25: 120. 8: 8.
    result = evaluate(model, images([5, 15, 25, 8]), np.array([1, 0, 1, 0]), batch_size=3)
    np.testing.assert_allclose(result.logits, [[5, 100], [110, 100], [120, 100], [8, 100]])
    assert result.predictions.tolist() == [1, 0, 0, 1]
    assert {name: value.tolist() for name, value in result.decisions.items()} == {
        "u0": [0, 1, 1, 0],
        "u1": [0, 1, 1, 0],
    }
    assert result.macs.tolist() == [HEAD, HEAD + 2 * CONV, HEAD + 2 * CONV, HEAD]
    assert result.figures() == {
        "accuracy": 0.5,
        "macs_mean": HEAD + CONV,
        "macs_std": CONV,
        "units_mean": 1.0,
        "units_std": 1.0,
        "distinct_paths": 2,
        "activation_rates": {"u0": 0.5, "u1": 0.5},
    }


def test_given_decisions_replace_the_deciders():
    model = model_of([90.0, 5.0], Bright())
    decisions = {"u0": np.array([1, 0]), "u1": np.array([0, 1])}
    result = evaluate(model, images([15, 15]), np.array([0, 1]), decisions)
    np.testing.assert_allclose(result.logits[:, 0], [105, 20])
    assert result.accuracy == 1.0


def test_a_static_network_has_one_cost_for_all():
    result = evaluate(model_of([90.0, 5.0], Never()), images([5, 15]), np.array([1, 1]))
    assert result.macs.tolist() == [HEAD, HEAD]
    assert result.figures()["distinct_paths"] == 1
    assert result.figures()["units_mean"] == result.figures()["units_std"] == 0


def test_what_another_images_decisions_give():
    model = model_of([90.0], Bright())
    x, y = images([5, 15]), np.array([1, 0])
    result = evaluate(model, x, y)
    assert result.accuracy == 1.0
    # Exchanged, 5 becomes 95 and stays class 1, 15 stays 15 and is answered wrongly.
    assert accuracy_shuffled(model, x, y, result.decisions) == 0.5


def test_without_decisions_nothing_can_be_exchanged():
    model = DynamicModel(model_of([90.0], Bright()).chain)
    x, y = images([15, 15]), np.array([0, 1])
    assert accuracy_shuffled(model, x, y, evaluate(model, x, y).decisions) == 0.5


def test_pattern_pays_for_no_decider(toy_chain):
    model = DynamicModel(toy_chain(2), PerUnitGates())
    model.build((None, 8, 8, 3))
    stem, unit, head, gate = 64 * 27 * 4, 2 * 64 * 9 * 16, 4 * 3, 4 * 16 + 16
    assert model.cost_tree.total_macs == stem + 2 * unit + head + 2 * gate
    assert pattern_macs(model, {"unit1": 1, "unit2": 0}) == stem + unit + head
    assert model.decision_names == ["unit1", "unit2"]


def test_a_pattern_of_locked_groups_is_over_all_their_units(toy_images):
    gates = ChannelGates(locked={"both": ["unit1", "unit2"]})
    model = DynamicModel(grouped.chain(), gates)
    model.build((None, 8, 8, 3))
    pattern = {"both[1]": 1, "both[2]": 0, "both[3]": 0}
    assert pattern_macs(model, pattern) == grouped.STEM + 2 * 2 * grouped.GROUP + grouped.HEAD
    x, y = toy_images(12), np.arange(12) % 3
    macs = [grouped.STEM + 2 * count * grouped.GROUP + grouped.HEAD for count in (1, 2)]
    twin = static_twin(model, (x, y), (x, y), macs_mean=sum(macs) / 2)
    assert [point[0] for point in twin.points] == macs


def test_twin_closes_what_costs_least_first():
    model = model_of([90.0, 1.5, 5.0], Bright())
    # Class 0 is over 100. Without u0 15 is too dark; u2 makes 8 too bright; u1 does no harm and no good.
    held_out = images([15, 8]), np.array([0, 1])
    # 15 is over 100 with u0, 9 with u0 and u1.
    test = images([15, 9]), np.array([0, 0])
    twin = static_twin(model, held_out, test, macs_mean=HEAD + 1.25 * CONV)
    assert twin.patterns == [{"u0": 1, "u1": 0, "u2": 0}, {"u0": 1, "u1": 1, "u2": 0}]
    assert twin.points == [[HEAD + CONV, 0.5], [HEAD + 2 * CONV, 1.0]]
    assert twin.accuracy == pytest.approx(0.625)


@pytest.mark.ci
def test_twin_of_more_than_twenty_tries_the_ten_least_used_each_time():
    # u0 runs for all images, the 21 others for fewer and fewer; 12 have to close, more than are tried at a time.
    model = model_of([1.0] * 22, Bright())
    x = images(np.linspace(1, 230, 24))
    y = np.zeros(24, int)
    twin = static_twin(model, (x, y), (x, y), macs_mean=HEAD + 10 * CONV)
    below, above = (sum(pattern.values()) for pattern in twin.patterns)
    assert (below, above) == (9, 10)
    assert all(twin.patterns[0][f"u{k}"] for k in range(5)), "the most used ones are never tried"


def test_of_many_decisions_that_are_used_alike_all_are_tried():
    # u21 alone spoils the answers; nothing tells so but trying it.
    numbers = [0.0] * 21 + [200.0]
    model = model_of(numbers, Pattern({f"u{k}": True for k in range(22)}))
    patterns = greedy_patterns(model, (images([5, 150]), np.array([1, 0])))
    assert next(patterns) == {f"u{k}": 1 for k in range(22)}
    assert next(patterns) == {f"u{k}": int(k != 21) for k in range(22)}


def test_greedy_patterns_end_with_everything_off():
    # Without u0, 15 is too dark; u1 makes 8 too bright.
    model = model_of([90.0, 95.0], Bright())
    patterns = list(greedy_patterns(model, (images([15, 8]), np.array([0, 1]))))
    assert patterns == [{"u0": 1, "u1": 1}, {"u0": 1, "u1": 0}, {"u0": 0, "u1": 0}]


def test_twin_of_a_network_under_its_cheapest_pattern():
    model = model_of([90.0], Bright())
    x, y = images([15, 8]), np.array([0, 1])
    twin = static_twin(model, (x, y), (x, y), macs_mean=1)
    assert twin.points == [[HEAD, 0.5]]
    assert twin.accuracy == 0.5


def network(units, name, seed):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Flatten(), *(keras.layers.Dense(4) for _ in range(units)), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((4, 4, 1)), *layers], name=name)


def test_twin_of_a_cascade_is_one_of_its_prefixes():
    model = cascade([network(count, f"n{count}", count) for count in (1, 2, 3)])
    x, y = images([5, 15, 25, 35]), np.array([0, 1, 0, 1])
    costs = np.cumsum([64 + 16 * (count - 1) + 8 for count in (1, 2, 3)])
    twin = static_twin(model, (x, y), (x, y), macs_mean=costs[1] + 1)
    assert twin.patterns == [{"n2": 1, "n3": 0}, {"n2": 1, "n3": 1}]
    assert [macs for macs, _ in twin.points] == costs[1:].tolist()


def test_twin_of_a_cascade_whose_last_network_is_gated(toy_chain, toy_images):
    gated = DynamicModel(toy_chain(2), PerUnitGates(), name="gated")
    gated.build((None, 8, 8, 3))
    small = DynamicModel(toy_chain(1, seed=1), name="small")
    small.build((None, 8, 8, 3))
    model = cascade([small, gated])
    x, y = toy_images(4), np.array([0, 1, 2, 0])
    macs = small.cost_tree.total_macs
    twin = static_twin(model, (x, y), (x, y), macs_mean=macs + 1)
    assert twin.patterns == [{"gated": 0}, {"gated": 1}]
    assert [macs for macs, _ in twin.points] == [macs, macs + gated.cost_tree.total_macs]


def test_twin_re_estimates_batch_norm_and_leaves_the_network_as_it_was(toy_chain, toy_images):
    model = DynamicModel(toy_chain(2), PerUnitGates(open_probability=0.6))
    model.build((None, 8, 8, 3))
    x = toy_images(32)
    bias = model.chain.head.layers[-1].bias
    bias.assign(-np.mean(model(x), axis=0))  # so that all classes occur
    y = np.argmax(model.outcome(x, decisions={"unit1": np.ones(32), "unit2": np.ones(32)}).logits, axis=1)
    before = model.get_weights()
    macs = model.cost_tree.total_macs
    plain = static_twin(model, (x, y), (x, y), macs)
    assert plain.accuracy == 1.0
    estimated = static_twin(model, (x, y), (x, y), macs, batches=[toy_images(32, seed=1) // 4])
    assert estimated.patterns == plain.patterns
    assert estimated.accuracy < 1.0
    with pytest.raises(ValueError, match="was built for images"):  # after batch norm has been re-estimated
        static_twin(model, (x, y), (x[:, :4], y), macs, batches=[toy_images(32, seed=1) // 4])
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_changed_after_compiling_are_seen(toy_chain, toy_images):
    model = DynamicModel(toy_chain(2), PerUnitGates())
    model.build((None, 8, 8, 3))
    outcome, x = compiled_outcome(model), toy_images(3)
    before = np.asarray(outcome(x, None).logits)
    model.set_weights([value * 1.1 for value in model.get_weights()])
    np.testing.assert_allclose(outcome(x, None).logits, model(x), atol=1e-5)
    assert np.abs(np.asarray(outcome(x, None).logits) - before).max() > 1e-3


_ON_JAX = """
import keras, numpy as np
from keras_dynamic.layers import Chain, DynamicModel, Residual
from keras_dynamic.evaluation import compiled_outcome
layers = keras.layers
unit = Residual([layers.Dense(4), layers.BatchNormalization()])
model = DynamicModel(Chain(layers.Flatten(), [layers.Dense(4), unit], layers.Dense(2)))
model.build((None, 2, 2, 3))
images = np.random.default_rng(0).normal(size=(3, 2, 2, 3))
outcome = compiled_outcome(model)
before = np.asarray(outcome(images, None).logits)
model.set_weights([value * 1.1 for value in model.get_weights()])
after = np.asarray(outcome(images, None).logits)
np.testing.assert_allclose(after, model(images), atol=1e-4)
assert np.abs(after - before).max() > 1e-3
print(keras.backend.backend())
"""


@pytest.mark.ci
def test_on_jax_too():
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    child = subprocess.run([sys.executable, "-c", _ON_JAX], capture_output=True, text=True, env=environment)
    assert child.stdout.strip() == "jax", child.stderr


def test_labels_and_images_are_checked_before_anything_runs():
    model, x = model_of([90.0, 5.0], Bright()), images([5, 15, 25, 8])
    plain, one_hot = (evaluate(model, x, y).figures() for y in ([1, 0, 1, 0], np.eye(2)[[1, 0, 1, 0]]))
    assert plain == one_hot
    for y, message in (
        ([1, 2, 1, 2], "labels must be class numbers from 0 to 1, got some from 1 to 2"),
        ([-1, 0, 1, 0], "got some from -1 to 1"),
        ([0.2, 0.9, 1.0, 0.0], "got fractions or NaN, as of a regression"),
        ([1, 0, 1], "y must be 4 labels, one per image, got 3"),
        ([[1, 1]] * 4, "as of a multi-label task"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(model, x, y, outcome=None)
    with pytest.raises(ValueError, match="got NaN or infinity in image 1 of 4"):
        evaluate(model, images([5, np.nan, 25, 8]), [1, 0, 1, 0])
    with pytest.raises(ValueError, match="test images, got none"):
        evaluate(model, x[:0], [])
