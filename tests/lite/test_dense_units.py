"""Exported dense networks: a skipped unit's channels are zeros, its work is not done, its zeros take little room."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite, models, serving, transform
from keras_dynamic.lite import flatbuffer
from tests.layers.grouped import draw_gates

GROWTH = 4


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (24, 32, 32, 3)) * rng.random((24, 1, 1, 3))).astype(np.uint8)


@pytest.fixture
def model(images, spread_gates):
    """Two gated units per block, each open for half of the images."""
    keras.utils.set_random_seed(0)
    chain = models.densenet_bc(16, GROWTH, num_classes=3).chain
    made = layers.DynamicModel(chain, deciders.PerUnitGates(open_probability=0.5))
    made.build((None, 32, 32, 3))
    spread_gates(made, images)
    return made


def run(exported, images):
    runner = lite.Interpreter(exported)
    found = [runner.run(image) for image in images]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def test_float32_answers_decides_and_costs_as_keras(model, images):
    exported = lite.export(model, outputs=("logits", "decisions", "macs"))
    found, outcome = run(exported, images), model.outcome(images, training=False)
    assert lite.verify(exported).conditionals == 6
    np.testing.assert_allclose(found["logits"], np.asarray(outcome.logits), atol=1e-5)
    decisions = {name: np.asarray(value) for name, value in outcome.decisions.items()}
    np.testing.assert_array_equal(found["decisions"], np.stack(list(decisions.values()), axis=1))
    unit = lite.read_metadata(exported)["macs_unit"]
    np.testing.assert_array_equal(found["macs"] * unit, cost.given(model.cost_tree, decisions))
    assert 0.2 < np.mean(found["decisions"]) < 0.8


@pytest.mark.ci
def test_int8_is_as_near_to_keras_as_without_gates(model, images):
    exported = lite.export(model, "int8", images, outputs=("logits", "decisions"))
    found, outcome = run(exported, images), model.outcome(images, training=False)
    alike = (found["decisions"] == np.stack(list(map(np.asarray, outcome.decisions.values())), axis=1)).all(axis=1)
    assert np.mean(alike) > 0.6
    static = layers.DynamicModel(model.chain)
    static.build((None, 32, 32, 3))
    error = np.abs(run(lite.export(static, "int8", images), images)["logits"] - np.asarray(static(images))).max()
    assert np.abs(found["logits"] - np.asarray(outcome.logits))[alike].max() < 2 * error


@pytest.mark.ci
@pytest.mark.parametrize("quantize", [pytest.param(None, marks=pytest.mark.ci), "int8"])
def test_the_zeros_of_units_of_one_size_are_stored_once(model, images, quantize):
    parsed = flatbuffer.load(lite.export(model, quantize, images if quantize else None))
    found = {}
    for graph in parsed.subgraphs:
        for tensor in graph.tensors:
            shape = flatbuffer.shape(tensor)
            if (
                len(shape) == 4
                and shape[-1] == GROWTH
                and flatbuffer.is_constant(parsed, tensor)
                and shape[1] == shape[2]
            ):
                found.setdefault(shape[1], []).append(tensor.buffer)
    assert {size: len(buffers) for size, buffers in found.items() if size >= 8} == {32: 2, 16: 2, 8: 2}
    assert all(len(set(buffers)) == 1 for size, buffers in found.items() if size >= 8)


@pytest.fixture
def grouped():
    """Units decided by the LSTM, and 3 of 4 groups of the filters between their two convolutions by small CNNs."""
    keras.utils.set_random_seed(0)
    network = models.densenet_bc(16, GROWTH, num_classes=3)
    network.build((None, 32, 32, 3))
    chain = transform.group_channels(network, 4).chain
    units, groups = deciders.RecurrentGates(), deciders.ChannelCNNGates(filters=4, bottleneck=4)
    made = layers.DynamicModel(chain, deciders.CombinedDecider([units, groups]))
    made.build((None, 32, 32, 3))
    draw_gates(units, groups)
    return made


@pytest.mark.parametrize("quantize", [None, pytest.param("int8", marks=pytest.mark.ci)])
def test_groups_inside_of_dense_units_are_skipped_in_the_file(grouped, images, quantize):
    outputs = ("logits", "decisions", "macs")
    exported = lite.export(grouped, quantize, images if quantize else None, outputs=outputs, fold="never")
    found, names = run(exported, images), lite.read_metadata(exported)["decisions"]
    decided = {name: found["decisions"][:, k].astype(np.float32) for k, name in enumerate(names)}
    expected = grouped.outcome(images, decisions=decided, training=False)
    groups = [name for name in names if "[" in name]
    assert len(groups) == 3 * 6
    assert 0.1 < np.mean([decided[name] for name in groups]) < 0.9
    unit = lite.read_metadata(exported)["macs_unit"]
    np.testing.assert_array_equal(found["macs"] * unit, cost.given(grouped.cost_tree, decided))
    counted = [lite.count_macs(exported, {name: bool(value[k]) for name, value in decided.items()}) for k in range(24)]
    np.testing.assert_array_equal(found["macs"] * unit, counted)
    if quantize is None:
        own = grouped.outcome(images, training=False)
        np.testing.assert_allclose(found["logits"], np.asarray(own.logits), atol=1e-5)
        for name, value in own.decisions.items():
            np.testing.assert_array_equal(decided[name], np.asarray(value), err_msg=name)
    else:
        spread = np.ptp(np.asarray(expected.logits))
        assert np.abs(found["logits"] - np.asarray(expected.logits)).max() < 0.1 * spread


def test_batches_skip_groups_inside_of_dense_units_too(grouped, images):
    expected, found = grouped.outcome(images, training=False), serving.compact(grouped)(images)
    np.testing.assert_allclose(found.logits, np.asarray(expected.logits), atol=1e-5)
