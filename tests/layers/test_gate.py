"""Gates: Keras' layer test, the arithmetic in NumPy, their first probability, their cost."""

import keras
import numpy as np
import pytest
from keras.src import testing

from keras_dynamic import cost
from keras_dynamic.layers import Gate, StaticGate

X = np.random.default_rng(0).normal(size=(6, 5, 7, 8)).astype(np.float32)


class TestGates(testing.TestCase):
    def test_keras_own_layer_test_of_gate(self):
        self.run_layer_test(
            Gate,
            {"hidden": 16, "open_probability": 0.9},
            input_shape=(4, 5, 7, 8),
            expected_output_shape=(4,),
            expected_num_trainable_weights=5,
            expected_num_non_trainable_weights=2,
            run_mixed_precision_check=False,  # a gate computes in float32 whatever the policy, see below
        )

    def test_keras_own_layer_test_of_free_gate(self):
        self.run_layer_test(
            StaticGate,
            {"open_probability": 0.5},
            input_shape=(4, 5, 7, 8),
            expected_output_shape=(4,),
            expected_num_trainable_weights=1,
            expected_num_non_trainable_weights=0,
            run_mixed_precision_check=False,
        )


def sigmoid(x):
    return 1 / (1 + np.exp(-keras.ops.convert_to_numpy(x)))


def test_a_gate_in_numpy():
    gate = Gate(hidden=3)
    gate.build(X.shape)
    rng = np.random.default_rng(1)
    project, gamma, beta, mean = rng.normal(size=(8, 3)), *rng.normal(size=(3, 3))
    variance, kernel, bias = rng.uniform(0.5, 2, 3), rng.normal(size=(3, 2)), rng.normal(size=2)
    gate.project.kernel.assign(project)
    for variable, value in zip(gate.norm.weights, (gamma, beta, mean, variance), strict=True):
        variable.assign(value)
    gate.kernel.assign(kernel)
    gate.bias.assign(bias)
    hidden = X.mean(axis=(1, 2)) @ project
    logits = np.maximum((hidden - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0) @ kernel + bias
    np.testing.assert_allclose(keras.ops.convert_to_numpy(gate(X)), logits[:, 1] - logits[:, 0], atol=1e-5)


@pytest.mark.parametrize("probability", [0.02, 0.5, 0.98])
def test_a_free_gate_starts_at_its_open_probability(probability):
    np.testing.assert_allclose(sigmoid(StaticGate(probability)(X)), probability, rtol=1e-5)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.98])
def test_gates_start_around_their_open_probability(probability):
    keras.utils.set_random_seed(0)
    logits = [keras.ops.convert_to_numpy(Gate(open_probability=probability)(X, training=True)) for _ in range(16)]
    odds = np.log(probability / (1 - probability))
    assert np.mean(logits) == pytest.approx(odds, abs=0.5)
    assert np.abs(np.mean(logits, axis=1) - odds).max() < 4


def test_a_free_gate_says_the_same_of_all_images():
    logits = keras.ops.convert_to_numpy(StaticGate(0.7)(X))
    assert logits.shape == (6,)
    assert len(set(logits.tolist())) == 1


@pytest.mark.parametrize("kind", [Gate, StaticGate])
@pytest.mark.parametrize("probability", [0.0, 1.0, -0.5, 1.5])
def test_an_open_probability_out_of_range_is_an_error(kind, probability):
    with pytest.raises(ValueError, match=f"strictly between 0 and 1, got {probability}"):
        kind(open_probability=probability)


def test_a_gate_reads_the_means_of_channels_of_any_rank():
    gate = Gate(hidden=3)
    wanted = gate(X)
    np.testing.assert_allclose(gate(X.reshape(6, 35, 8)), wanted, atol=1e-5)
    np.testing.assert_allclose(gate(X.mean(axis=(1, 2))), wanted, atol=1e-5)
    with pytest.raises(ValueError, match=r"reads \[batch, ..., channels\], got shape \(6,\)"):
        Gate().build((6,))


@pytest.mark.parametrize("kind", [Gate, StaticGate])
@pytest.mark.parametrize("nest", [lambda x: {"a": x, "b": x[:, 0]}, lambda x: [x, x[:, :1]]], ids=["dict", "list"])
def test_of_a_nest_the_first_leaf_is_read(kind, nest):
    gate = kind()
    inside = keras.ops.convert_to_numpy(gate(nest(X)))
    assert inside.shape == (6,)
    np.testing.assert_array_equal(inside, keras.ops.convert_to_numpy(gate(X)))


def test_gates_compute_in_float32_under_mixed_precision():
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        gate, free = Gate(), StaticGate()
        half = keras.ops.cast(X, "bfloat16")
        for layer in (gate, free):
            assert keras.backend.standardize_dtype(layer(half).dtype) == "float32"
            assert {variable.dtype for variable in layer.variables if "seed" not in variable.path} == {"float32"}
        np.testing.assert_allclose(gate(half), gate(keras.ops.cast(half, "float32")), rtol=1e-6)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


def test_cost():
    gate, free = Gate(hidden=16), StaticGate()
    gate(X)
    free(X)
    node = cost.tree(gate, keras.KerasTensor(X.shape))
    assert node.total_macs == 8 * 16 + 16  # two logits are one after folding; pooling has no products
    assert node.total_parameters == 8 * 16 + 4 * 16 + 16 * 2 + 2
    assert cost.tree(free, keras.KerasTensor(X.shape)).total_macs == 0
    assert cost.tree(free, keras.KerasTensor(X.shape)).total_parameters == 2


def normed(x, weights):
    gamma, beta, mean, variance = weights
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def test_memory_in_numpy():
    """What the gates of three groups are about to say goes through linear, batch norm, ReLU, linear."""
    gate = Gate(hidden=4, groups=3, memory=5)
    gate.build(X.shape)
    rng = np.random.default_rng(2)
    for weight in gate.weights:
        weight.assign(
            rng.uniform(0.2, 1.5, weight.shape) * rng.choice([-1, 1] if "variance" not in weight.name else [1])
        )
    value = {name: np.asarray(getattr(gate, name)) for name in ("kernel", "bias", "last_kernel", "last_bias")}
    hidden = np.maximum(normed(X.mean(axis=(1, 2)) @ gate.project.get_weights()[0], gate.norm.get_weights()), 0)
    said = hidden @ value["kernel"] + value["bias"]
    tentative = said[:, 3:] - said[:, :3]
    shared = np.maximum(normed(tentative @ gate.share.get_weights()[0], gate.share_norm.get_weights()), 0)
    last = shared @ value["last_kernel"] + value["last_bias"]
    np.testing.assert_allclose(gate(X), last[:, 3:] - last[:, :3], rtol=1e-4, atol=1e-4)
    assert cost.tree(gate, keras.KerasTensor((None, 5, 7, 8))).total_macs == 8 * 4 + 4 * 3 + 3 * 5 + 5 * 3


def test_with_memory_gates_start_around_their_open_probability():
    keras.utils.set_random_seed(0)
    gates = [Gate(open_probability=0.9, groups=4, memory=8) for _ in range(8)]
    logits = [keras.ops.convert_to_numpy(gate(X, training=True)) for gate in gates]
    assert np.mean(logits) == pytest.approx(np.log(9), abs=0.5)


@pytest.mark.parametrize("memory", [0, -2, 1.5, True])
def test_memory_is_a_width(memory):
    with pytest.raises(ValueError, match="memory must be the width of a hidden layer, a positive int, or None, got"):
        Gate(groups=2, memory=memory)


def test_memory_is_between_groups():
    with pytest.raises(ValueError, match="memory is between the gates of a unit's groups, got a gate without groups"):
        Gate(memory=4)
