"""MobileNetV2: MACs of the papers, units, what may be skipped, gates, policies, saving, export, bad input."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, lite, methods
from keras_dynamic.layers import Residual
from keras_dynamic.models import mobilenet_v2, policy_resnet

# Sandler et al. 2018, Table 2: expansion, channels, units, stride of the first.
TABLE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
SKIPPABLE = [f"stage{stage + 1}_unit{unit + 2}" for stage, row in enumerate(TABLE) for unit in range(row[2] - 1)]


def images(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def block(size, inputs, expansion, outputs, stride):
    """MACs: 1x1 to the expansion (if any), depthwise 3x3, 1x1 back."""
    wide, small = expansion * inputs, size // stride
    widen = size**2 * inputs * wide if expansion > 1 else 0
    return widen + small**2 * (9 * wide + wide * outputs)


@pytest.mark.parametrize(("size", "millions"), [(224, 300), (96, 56)])
def test_macs_of_width_1_as_arithmetic(size, millions):
    model = mobilenet_v2()
    model.build((None, size, size, 3))
    side, channels = size // 2, 32
    macs = side**2 * 27 * 32
    for expansion, outputs, count, stride in TABLE:
        macs += block(side, channels, expansion, outputs, stride)
        side //= stride
        macs += (count - 1) * block(side, outputs, expansion, outputs, 1)
        channels = outputs
    macs += side**2 * 320 * 1280 + 1280 * 1000
    assert cost.tree(model).total_macs == macs
    assert macs == pytest.approx(millions * 1e6, rel=0.01)


# MACs in millions and parameters without batch norm's statistics, of the authors' checkpoints.
@pytest.mark.ci
@pytest.mark.parametrize(
    ("width", "millions", "parameters"),
    [(0.35, 59, 1.66e6), (0.5, 97, 1.95e6), (0.75, 209, 2.61e6), (1.4, 582, 6.06e6)],
)
def test_macs_of_other_widths(width, millions, parameters):
    model = mobilenet_v2(width)
    model.build((None, 224, 224, 3))
    assert cost.tree(model).total_macs == pytest.approx(millions * 1e6, rel=0.01)
    statistics = sum(int(np.prod(each.shape)) for each in model.non_trainable_variables if "moving" in each.path)
    assert model.chain.count_params() - statistics == pytest.approx(parameters, rel=0.03)


@pytest.mark.parametrize("width", [0.35, 1.0])
def test_units_with_a_skip_connection_can_be_skipped_and_the_others_always_run(width):
    model = mobilenet_v2(width, num_classes=7)
    assert tuple(model(images(2, 32)).shape) == (2, 7)
    assert model.chain.skippable_names == SKIPPABLE
    names = [f"stage{stage + 1}_unit{unit + 1}" for stage, row in enumerate(TABLE) for unit in range(row[2])]
    assert [unit.name for unit in model.chain.units] == names
    assert model.name == "mobilenet_v2"
    assert mobilenet_v2(name="mine").name == "mine"
    x = np.random.default_rng(0).normal(size=(2, *model.chain.input_specs[2].shape[1:])).astype("float32")
    unit = model.chain.units[2]
    assert isinstance(unit, Residual)
    np.testing.assert_array_equal(unit.skip(x), x)
    np.testing.assert_allclose(unit(x), x + unit.body(x), atol=1e-5)


def test_parameters_are_those_of_keras_applications():
    model = mobilenet_v2()
    model.build((None, 32, 32, 3))
    assert model.chain.count_params() == 3_538_984


def test_odd_sizes_and_pixels_of_any_type():
    model, batch = mobilenet_v2(0.35, num_classes=3), images(2, 37)
    logits = keras.ops.convert_to_numpy(model(batch))
    np.testing.assert_allclose(model(batch.astype("float32")), logits, atol=1e-4)
    assert [spec.shape[1] for spec in model.chain.input_specs] == [19] * 2 + [10] * 2 + [5] * 3 + [3] * 7 + [2] * 3


@pytest.mark.ci
def test_gates_train():
    keras.utils.set_random_seed(0)
    model = methods.ActivationGating(mobilenet_v2(0.35, num_classes=2).chain, target=0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, run_eagerly=True)
    model.build((None, 32, 32, 3))
    before = [gate.kernel.numpy() for gate in model.decider.gates.values()]
    assert np.isfinite(model.fit(images(4, 32), np.arange(4) % 2, verbose=0).history["loss"]).all()
    moved = [
        np.abs(gate.kernel.numpy() - old).max() for gate, old in zip(model.decider.gates.values(), before, strict=True)
    ]
    assert min(moved) > 0
    assert model.decision_names == SKIPPABLE
    assert "stage6_unit3" in cost.summary(model)


def test_a_policy_decides():
    network = mobilenet_v2(0.35, num_classes=2)
    model = methods.BlockDrop(network.chain, deciders.Policy(policy_resnet(len(SKIPPABLE)), seed=0))
    outcome = model.outcome(images(2, 32))
    assert list(outcome.decisions) == SKIPPABLE
    assert outcome.logits.shape == (2, 2)


@pytest.mark.ci
def test_saving(fresh_process):
    model, batch = mobilenet_v2(0.35, num_classes=3, pixels="torch"), images(2, 32)
    model.build(batch.shape)
    np.testing.assert_allclose(fresh_process(model, batch)["logits"], model(batch), rtol=1e-5, atol=1e-5)


@pytest.mark.ci
def test_two_gated_units_export(spread_gates):
    keras.utils.set_random_seed(0)
    gated = ["stage4_unit2", "stage6_unit3"]
    network, batch = mobilenet_v2(0.35, num_classes=4), images(8, 32)
    gates = deciders.PerUnitGates(hidden=4, always=[name for name in SKIPPABLE if name not in gated])
    model = methods.ActivationGating(network.chain, gates, target=0.5)
    model.build((None, 32, 32, 3))
    spread_gates(model, batch)
    exported = lite.export(model, outputs=("logits", "decisions"))
    report = lite.verify(exported)
    assert (report.decisions, report.conditionals) == (tuple(gated), 2)
    saved = [tuple(unit.name for unit in network.chain.units).index(name) for name in gated]
    bodies = [cost.tree(network.chain.units[k].body, network.chain.input_specs[k]).total_macs for k in saved]
    assert report.macs_all_on - report.macs_all_off == sum(bodies)
    runner, outcome = lite.Interpreter(exported), model.outcome(batch, training=False)
    found = [runner.run(image) for image in batch]
    wanted = np.stack([keras.ops.convert_to_numpy(outcome.decisions[name]) for name in gated], axis=1)
    np.testing.assert_array_equal(np.concatenate([each["decisions"] for each in found]), wanted)
    np.testing.assert_allclose(np.concatenate([each["logits"] for each in found]), outcome.logits, atol=1e-4)
    assert len(np.unique(wanted, axis=0)) > 1


@pytest.mark.parametrize("width", [0, -1.0, float("nan"), float("inf"), "1.0", True, None])
def test_a_width_that_is_no_positive_number_is_an_error(width):
    message = r"width must be a positive number that multiplies the channels, got .*; take 1\.0, or 0\.35 to 1\.4\."
    with pytest.raises(ValueError, match=message):
        mobilenet_v2(width)
