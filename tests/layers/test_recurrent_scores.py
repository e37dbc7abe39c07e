"""Scores of an unrolled LSTM: Keras' layer test, Keras' own LSTM as the oracle, first probabilities, cost, errors."""

import keras
import numpy as np
import pytest
from keras.src import testing

from keras_dynamic import cost
from keras_dynamic.layers import RecurrentScores

X = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


class TestRecurrentScores(testing.TestCase):
    def test_keras_own_layer_test(self):
        self.run_layer_test(
            RecurrentScores,
            {"steps": 3, "hidden": 7, "open_probability": 0.9},
            input_shape=(4, 5),
            expected_output_shape=(4, 3),
            expected_num_trainable_weights=5,
            expected_num_non_trainable_weights=0,
            run_mixed_precision_check=False,  # it computes in float32 whatever the policy, see below
        )


def lively(steps, hidden, features=5, seed=0):
    """A layer with large random weights."""
    layer = RecurrentScores(steps, hidden)
    layer.build((None, features))
    rng = np.random.default_rng(seed)
    for variable in layer.weights:
        variable.assign(rng.normal(0, 0.8, variable.shape))
    return layer


@pytest.mark.parametrize("steps", [1, 2, 12])
def test_it_is_keras_lstm_on_the_repeated_features(steps):
    layer = lively(steps, hidden=4)
    lstm = keras.layers.LSTM(4, return_sequences=True)
    lstm.build((None, steps, 5))
    for theirs, mine in zip(lstm.weights, (layer.look.kernel, layer.remember.kernel, layer.look.bias), strict=True):
        theirs.assign(mine)
    states = keras.ops.convert_to_numpy(lstm(np.repeat(X[:, None], steps, axis=1)))
    kernel, bias = (keras.ops.convert_to_numpy(variable) for variable in layer.score.weights)
    scores = keras.ops.convert_to_numpy(layer(X))
    assert scores.shape == (6, steps)
    assert scores.std() > 0.05
    np.testing.assert_allclose(scores, (states @ kernel + bias)[..., 0], atol=1e-5)


def test_an_untrained_layer_has_the_weights_of_an_untrained_lstm():
    layer, lstm = RecurrentScores(3, hidden=4), keras.layers.LSTM(4)
    layer.build((None, 5))
    lstm.build((None, 3, 5))
    np.testing.assert_array_equal(layer.look.bias, lstm.cell.bias)  # one for the forget gate
    recurrent = keras.ops.convert_to_numpy(layer.remember.kernel)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(4), atol=1e-5)  # orthogonal


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.95])
def test_scores_start_around_their_open_probability(probability):
    scores = keras.ops.convert_to_numpy(RecurrentScores(9, 64, probability)(X))
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), probability, atol=0.05)


def test_every_step_learns(gradient):
    """Each score has a gradient of its own with respect to the features."""
    layer = lively(4, hidden=3)
    slopes = [gradient(lambda x, k=k: layer(x)[:, k], X) for k in range(4)]
    for slope in slopes:
        assert np.abs(slope).max() > 1e-2
    assert not np.allclose(slopes[0], slopes[3], atol=1e-3)


def test_it_computes_in_float32_under_mixed_precision():
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        layer = RecurrentScores(3, 4)
        half = keras.ops.cast(X, "bfloat16")
        scores = layer(half)
        assert keras.backend.standardize_dtype(scores.dtype) == "float32"
        np.testing.assert_allclose(scores, layer(keras.ops.cast(half, "float32")), rtol=1e-6)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.parametrize("steps", [1, 5])
def test_cost(steps):
    layer = RecurrentScores(steps, hidden=7)
    layer.build((None, 5))
    node = cost.tree(layer, keras.KerasTensor((None, 5)))
    # The features' part of the four gates once, the state's at every step but the first, which has none.
    assert node.total_macs == 5 * 4 * 7 + (steps - 1) * 7 * 4 * 7 + steps * 7
    assert node.total_parameters == layer.count_params() == (5 + 7 + 1) * 4 * 7 + 7 + 1


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", None])
@pytest.mark.parametrize("name", ["steps", "hidden"])
def test_sizes_are_positive_ints(name, value):
    with pytest.raises(ValueError, match=f"{name}, the .*, must be a positive int, got {value!r}"):
        RecurrentScores(**{"steps": 3, name: value})


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.5, float("nan")])
def test_an_open_probability_out_of_range_is_an_error(probability):
    with pytest.raises(ValueError, match=f"strictly between 0 and 1, got {probability}"):
        RecurrentScores(3, open_probability=probability)


def test_it_reads_features():
    with pytest.raises(ValueError, match=r"reads features \[batch, features\], got shape \(6, 2, 5\)"):
        RecurrentScores(3)(np.zeros((6, 2, 5), np.float32))
