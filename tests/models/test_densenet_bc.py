"""DenseNet-BC: MACs and parameters by hand, skipped units, saving, errors, the accuracy of imported weights."""

import os

import keras
import numpy as np
import pytest

from keras_dynamic import cost, data
from keras_dynamic.deciders import Pattern
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import densenet_bc, import_densenet_bc


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


def tiny(**arguments):
    """Two units per block, with batch norms that are not new ones."""
    keras.utils.set_random_seed(0)
    model = densenet_bc(**{"depth": 16, "growth": 4, "num_classes": 3, **arguments})
    model.build((None, 32, 32, 3))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if variable.path.rpartition("/")[2] in ("gamma", "beta", "moving_mean", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def by_hand(per_block, growth, classes):
    """Returns (MACs, trainable parameters) of the network from its description."""
    channels = 2 * growth
    macs, parameters = 32 * 32 * 27 * channels, 27 * channels
    for block, size in enumerate((32, 16, 8)):
        if block:
            macs += (2 * size) ** 2 * channels * (channels // 2)
            parameters += 2 * channels + channels * (channels // 2)
            channels //= 2
        for _ in range(per_block):
            weights = channels * 4 * growth + 9 * 4 * growth * growth
            macs += size**2 * weights
            parameters += weights + 2 * channels + 2 * 4 * growth
            channels += growth
    return macs + channels * classes, parameters + 2 * channels + channels * classes + classes


@pytest.mark.parametrize(("depth", "growth", "classes"), [(10, 6, 10), (16, 4, 3), (40, 12, 10)])
def test_macs_and_parameters(depth, growth, classes):
    model = densenet_bc(depth, growth, classes)
    model.build((None, 32, 32, 3))
    macs, parameters = by_hand((depth - 4) // 6, growth, classes)
    assert cost.tree(model).total_macs == macs
    assert sum(int(np.prod(variable.shape)) for variable in model.trainable_variables) == parameters
    assert model.name == f"densenet{depth}"


def test_the_papers_network():
    """DenseNet-BC-100 with k = 12 has 0.8 M parameters in Table 2 of the paper."""
    assert by_hand(16, 12, 10)[1] == pytest.approx(0.8e6, rel=0.05)


def test_units_can_be_skipped_and_transitions_cannot():
    chain = tiny().chain
    assert chain.skippable_names == [f"block{block}_unit{unit}" for block in (1, 2, 3) for unit in (1, 2)]
    assert [unit.name for unit in chain.units if unit.name not in chain.skippable_names] == [
        "transition1",
        "transition2",
    ]
    assert [spec.shape[1:] for spec in chain.input_specs] == [
        (32, 32, 8),
        (32, 32, 12),
        (32, 32, 16),
        (16, 16, 8),
        (16, 16, 12),
        (16, 16, 16),
        (8, 8, 8),
        (8, 8, 12),
    ]


def test_a_skipped_unit_adds_zeros_and_costs_nothing():
    model, batch = tiny(), images(2)
    closed = DynamicModel(model.chain, Pattern({"block1_unit2": False}))
    x = model.chain.units[0](model.chain.stem(batch))
    x = keras.ops.concatenate([x, keras.ops.zeros((2, 32, 32, 4))], axis=-1)
    for unit in model.chain.units[2:]:
        x = unit(x)
    np.testing.assert_allclose(closed(batch), model.chain.head(x), rtol=1e-4, atol=1e-5)
    saved = model.cost_tree.total_macs - cost.given(closed.cost_tree, closed.outcome(batch).decisions)[0]
    assert saved == 32 * 32 * (12 * 16 + 9 * 16 * 4)


def test_decisions_per_image():
    from keras_dynamic.methods import ActivationGating

    batch, plain = images(2), tiny()
    model = ActivationGating(plain.chain)
    model.build((None, 32, 32, 3))
    decisions = {name: np.float32([1, name != "block2_unit1"]) for name in model.decision_names}
    found = model.outcome(batch, decisions=decisions).logits
    without = DynamicModel(plain.chain, Pattern({"block2_unit1": False}))
    np.testing.assert_allclose(found[:1], plain(batch[:1]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1:], without(batch[1:]), rtol=1e-4, atol=1e-5)


def test_saving(fresh_process):
    model, batch = tiny(), images(3)
    np.testing.assert_allclose(fresh_process(model, batch)["logits"], model(batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 12}, r"depth must be 6n\+4, e\.g\. 10, 40 or 100, got 12"),
        ({"depth": 4}, r"depth must be 6n\+4, .* got 4"),
        ({"growth": 0}, r"growth must be .* a positive int, e\.g\. 12, got 0"),
        ({"growth": True}, r"growth must be .* a positive int, e\.g\. 12, got True"),
        ({"reduction": 2}, r"reduction must be a number between 0 and 1, got 2"),
        ({"reduction": 0.01}, r"reduction=0\.01 leaves none of the 16 channels before transition1; take a larger one"),
    ],
)
def test_arguments_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**arguments)


@pytest.mark.slow
@pytest.mark.skipif(not {"DATA_DIR", "WEIGHTS_DIR"} <= os.environ.keys(), reason="DATA_DIR or WEIGHTS_DIR is not set")
def test_imported_weights_reach_their_accuracy():
    test = data.load("cifar10", os.environ["DATA_DIR"])
    model = import_densenet_bc(densenet_bc(), os.path.join(os.environ["WEIGHTS_DIR"], "densenet100_cifar10.npz"))
    answers = model.predict(test.x_test, batch_size=250, verbose=0).argmax(-1)
    assert len(answers) == 10_000
    assert np.mean(answers == test.y_test) == pytest.approx(0.9462, abs=0.0005)
