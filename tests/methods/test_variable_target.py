"""Activation gating with targets that follow the activation: by hand, epoch by epoch, saved, and on two devices."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_dynamic.callbacks import AnnealTarget
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.methods import ActivationGating
from tests.methods.test_activation_gating import FIXED, RATES, UNIT, gating, outcome_of

LATER = (0.25, 0.25, 0.25)


def target_of(model):
    return keras.ops.convert_to_numpy(model.current_target)


def losses_of(model, *rates):
    """Activation losses of a batch after another."""
    return [float(model.outcome_losses(None, None, outcome_of(each))["activation"]) for each in rates]


def test_the_batch_loss_meets_the_target_of_before_the_batch(toy_chain):
    model = gating(toy_chain(), target=0.8, variable_target="moving")
    # mean rates 0.5 and 0.25: the target is 0.8, then (0.8 + 0.5) / 2 = 0.65, then (0.8 + 0.5 + 0.25) / 3
    assert losses_of(model, RATES, LATER) == pytest.approx([0.3**2, 0.4**2], rel=1e-5)
    assert target_of(model) == pytest.approx(1.55 / 3)


def test_an_exponential_target(toy_chain):
    model = gating(toy_chain(), target=0.8, variable_target="exponential", target_momentum=0.9)
    assert losses_of(model, RATES, LATER) == pytest.approx([0.3**2, 0.52**2], rel=1e-5)
    assert target_of(model) == pytest.approx(0.9 * 0.77 + 0.1 * 0.25)


def test_per_gate_targets_follow_each_its_gate(toy_chain):
    model = gating(toy_chain(), target=0.6, activation_loss="per_gate", variable_target="moving")
    losses = losses_of(model, RATES, RATES)
    assert losses[0] == pytest.approx((0.15**2 + 0.35**2 + 0.1**2) / 3, rel=1e-5)
    assert losses[1] == pytest.approx(losses[0] / 4, rel=1e-5)  # half way there
    np.testing.assert_allclose(target_of(model), [(0.6 + 2 * rate) / 3 for rate in RATES], rtol=1e-6)


def test_macs_follow_the_cost(toy_chain):
    model = gating(toy_chain(), target=0.6, activation_loss="macs", variable_target="exponential", target_momentum=0.0)
    losses_of(model, RATES)
    assert target_of(model) == pytest.approx((FIXED + 1.5 * UNIT) / (FIXED + 3 * UNIT))


def test_with_const_quad_nothing_pulls_the_activation_up(toy_chain):
    model = gating(toy_chain(), target=0.8, const_quad=True, variable_target="moving")
    assert losses_of(model, RATES) == [0.0]
    assert target_of(model) == pytest.approx(0.65)


def test_the_target_starts_anew_in_each_epoch(toy_chain):
    model = gating(toy_chain(), target=0.6, variable_target="moving")
    callback = AnnealTarget(a=0.1, k=1, start=0.7)
    callback.set_model(model)
    for epoch, start in enumerate([0.7, 0.6, 0.6]):
        callback.on_epoch_begin(epoch)
        assert target_of(model) == pytest.approx(start)
        losses_of(model, RATES, RATES)
        assert target_of(model) == pytest.approx((start + 1.0) / 3)


@pytest.mark.ci
@pytest.mark.parametrize(
    "loss", [*(pytest.param(loss, marks=pytest.mark.ci) for loss in ("batch", "per_gate")), "macs"]
)
def test_a_compiled_training_moves_it_and_an_evaluation_does_not(loss, toy_chain, toy_images):
    gates = PerUnitGates(open_probability=1e-6, data_dependent=False)  # always closed
    model = ActivationGating(toy_chain(), gates, 0.8, loss, variable_target="exponential", target_momentum=0.5)
    model.compile(keras.optimizers.SGD(0.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = toy_images(8), np.arange(8) % 3
    arguments = {"batch_size": 4, "shuffle": False, "verbose": 0}
    model.fit(images, labels, epochs=2, callbacks=[AnnealTarget(start=0.0)], **arguments)  # two batches an epoch
    closed = FIXED - 3 * 80 if loss == "macs" else 0  # free gates cost nothing
    rate = closed / (closed + 3 * UNIT) if loss == "macs" else 0.0
    np.testing.assert_allclose(target_of(model), 0.25 * 0.8 + 0.75 * rate, rtol=1e-5)
    before = target_of(model).copy()
    model.evaluate(images, labels, batch_size=4, verbose=0)
    np.testing.assert_array_equal(target_of(model), before)


def test_the_loss_has_no_gradient_into_the_target(toy_chain):
    model = gating(toy_chain(), target=0.8, variable_target="moving")
    assert not any("target" in variable.path or "seen" in variable.path for variable in model.trainable_variables)


def test_saving(toy_chain, tmp_path):
    model = gating(toy_chain(), target=0.8, variable_target="moving", target_momentum=0.7)
    losses_of(model, RATES)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.variable_target, loaded.target_momentum) == ("moving", 0.7)
    losses_of(loaded, LATER)
    assert target_of(loaded) == pytest.approx(1.55 / 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"variable_target": "exponentially"},
            r"variable_target must be None or one of .* got 'exponentially' \(did you mean 'exponential'\?\)",
        ),
        (
            {"variable_target": "exponential", "target_momentum": 1.5},
            r"target_momentum must be a number between 0 and 1, got 1\.5",
        ),
    ],
)
def test_wrong_arguments_are_an_error(arguments, message, toy_chain):
    with pytest.raises(ValueError, match=message):
        ActivationGating(toy_chain(), **arguments)


_MIRRORED = """
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras, numpy as np
from keras import layers
import keras_dynamic as kd
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    chain = kd.layers.Chain(
        layers.Conv2D(4, 3), [kd.layers.Residual([layers.Conv2D(4, 1)], name="a")],
        [layers.GlobalAveragePooling2D(), layers.Dense(2)],
    )
    gates = kd.deciders.PerUnitGates(open_probability=1e-6, data_dependent=False)
    model = kd.methods.ActivationGating(chain, gates, 0.8, variable_target="moving")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(np.zeros((8, 8, 8, 3)), np.zeros(8, int), batch_size=4, verbose=0)
print(float(model.current_target.value.numpy()))
"""


@pytest.mark.ci
def test_two_devices_move_it_together():
    root = Path(__file__).parents[2]
    child = subprocess.run([sys.executable, "-c", _MIRRORED], capture_output=True, text=True, cwd=root)
    assert child.returncode == 0, child.stderr
    assert float(child.stdout) == pytest.approx(0.8 / 3)
