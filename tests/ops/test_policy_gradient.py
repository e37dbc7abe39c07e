"""Policy gradients: each function against numbers worked out by hand."""

import math

import keras
import numpy as np
import pytest

from keras_dynamic.ops import (
    bernoulli_entropy,
    bernoulli_log_probability,
    bounded,
    penalty_for_usage,
    policy_gradient_loss,
    self_critical_advantage,
    usage_reward,
)


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def gradient(function, *arrays):
    """Gradients of a scalar function, by the backend that the tests run on."""
    import tensorflow as tf

    tensors = [tf.constant(each, tf.float32) for each in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return [None if each is None else each.numpy() for each in tape.gradient(value, tensors)]


def test_reward_is_one_minus_squared_usage_or_the_penalty():
    decisions = np.float32([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0]])
    correct = np.array([True, True, True, False, False])
    reward = array(usage_reward(decisions, correct, 5.0))
    assert reward.dtype == np.float32
    np.testing.assert_allclose(reward, [0.0, 1 - 1 / 16, 1.0, -5.0, -5.0])


def test_reward_of_the_papers_network():
    """Five of fifteen units: 1 - 1/9; nine: 1 - 0.36."""
    decisions = np.float32([[1] * 5 + [0] * 10, [1] * 9 + [0] * 6])
    np.testing.assert_allclose(array(usage_reward(decisions, [True, True], 2)), [8 / 9, 0.64], rtol=1e-6)


def test_bounded_lies_between_one_minus_alpha_and_alpha():
    np.testing.assert_allclose(array(bounded(np.float32([0.0, 0.25, 0.5, 1.0]), 0.8)), [0.2, 0.35, 0.5, 0.8])
    np.testing.assert_array_equal(array(bounded(np.float32([0.0, 0.3, 1.0]), 1.0)), np.float32([0.0, 0.3, 1.0]))


def test_log_probability_is_the_sum_of_logarithms():
    decisions = np.float32([[1, 0, 1], [0, 0, 0]])
    probabilities = np.float32([[0.5, 0.25, 0.8], [0.5, 0.2, 0.9]])
    wanted = [math.log(0.5 * 0.75 * 0.8), math.log(0.5 * 0.8 * 0.1)]
    np.testing.assert_allclose(array(bernoulli_log_probability(decisions, probabilities)), wanted, rtol=1e-5)


def test_units_held_open_do_not_count():
    decisions, probabilities = np.float32([[1, 1, 0]]), np.float32([[0.001, 0.5, 0.2]])
    free = np.float32([0, 1, 1])
    wanted = [math.log(0.5 * 0.8)]
    np.testing.assert_allclose(array(bernoulli_log_probability(decisions, probabilities, free)), wanted, rtol=1e-6)


def test_impossible_decisions_have_a_finite_log_probability():
    value = array(bernoulli_log_probability(np.float32([[1, 0]]), np.float32([[0.0, 1.0]])))
    assert np.isfinite(value).all()
    assert value[0] == pytest.approx(2 * math.log(1e-7), rel=1e-4)


def test_log_probabilitys_gradient():
    """d/ds log(s) = 1/s for a unit that ran, -1/(1-s) for one that did not, 0 for one that was held."""
    decisions, free = np.float32([[1, 0, 1]]), np.float32([1, 1, 0])
    (found,) = gradient(
        lambda s: keras.ops.sum(bernoulli_log_probability(decisions, s, free)), np.float32([[0.25, 0.2, 0.5]])
    )
    np.testing.assert_allclose(found, [[4.0, -1.25, 0.0]], rtol=1e-5)


def test_advantage_is_a_difference_without_gradient():
    def total(reward, baseline):
        return keras.ops.sum(self_critical_advantage(reward, baseline) * 1.0)

    reward, baseline = np.float32([0.64, -5.0]), np.float32([0.36, 0.36])
    np.testing.assert_allclose(array(self_critical_advantage(reward, baseline)), [0.28, -5.36], rtol=1e-6)
    assert gradient(total, reward, baseline) == [None, None]


def test_loss_and_its_gradient_by_hand():
    """Two images, two units: loss -(0.5 log p1 - 2 log p2) / 2, gradient -advantage / batch for log p."""
    logs, advantage = np.float32([-0.7, -1.5]), np.float32([0.5, -2.0])
    assert float(policy_gradient_loss(logs, advantage)) == pytest.approx(-(0.5 * -0.7 + -2.0 * -1.5) / 2)
    by_logs, by_advantage = gradient(policy_gradient_loss, logs, advantage)
    np.testing.assert_allclose(by_logs, [-0.25, 1.0])
    assert by_advantage is None


def test_gradient_is_that_of_the_expected_reward():
    """Averaged over all four decisions of two units by their probability, the loss' gradient is -dE[R]/ds."""
    s = np.float32([0.3, 0.6])
    paths = np.float32([[0, 0], [0, 1], [1, 0], [1, 1]])
    reward = np.float32([-2.0, 0.75, 0.75, 0.0])

    def expectation(probabilities):
        each = keras.ops.prod(paths * probabilities + (1 - paths) * (1 - probabilities), axis=1)
        return keras.ops.sum(each * reward)

    (wanted,) = gradient(expectation, s)
    chance = np.prod(paths * s + (1 - paths) * (1 - s), axis=1)
    found = np.zeros(2)
    for path, value, probability in zip(paths, reward, chance, strict=True):
        (each,) = gradient(
            lambda p, path=path, value=value: policy_gradient_loss(
                bernoulli_log_probability(path[None], p[None]), np.float32([value])
            ),
            s,
        )
        found += probability * each
    np.testing.assert_allclose(-found, wanted, rtol=1e-5)


def test_entropy_in_nats():
    probabilities = np.float32([[0.5, 0.2], [0.5, 1.0]])
    of_a_fifth = -0.2 * math.log(0.2) - 0.8 * math.log(0.8)
    np.testing.assert_allclose(
        array(bernoulli_entropy(probabilities)), [math.log(2) + of_a_fifth, math.log(2)], atol=1e-5
    )
    held = array(bernoulli_entropy(probabilities, np.float32([0, 1])))
    np.testing.assert_allclose(held, [of_a_fifth, 0.0], atol=1e-5)


def test_the_penalty_grows_where_too_little_runs():
    assert float(penalty_for_usage(5.0, 0.6, 0.6)) == pytest.approx(5.0)
    assert float(penalty_for_usage(5.0, 0.5, 0.6, 10.0)) == pytest.approx(5.0 * math.e)
    assert float(penalty_for_usage(2.0, 1.0, 0.8, 15.0)) == pytest.approx(2.0 * math.exp(-3))
