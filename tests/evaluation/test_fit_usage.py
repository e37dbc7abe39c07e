"""Fitting tau to a share of units."""

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import PerUnitGates, Policy, SequentialPolicy
from keras_dynamic.evaluation import fit_usage
from keras_dynamic.layers import DynamicModel

DECIDERS = {
    "gates": lambda: PerUnitGates(open_probability=0.9),
    "policy": lambda: Policy(keras.Sequential([keras.layers.Rescaling(1 / 50), keras.layers.Flatten(), _dense(3)])),
    "sequential": lambda: SequentialPolicy(open_probability=0.3),
}


def _dense(units):
    return keras.layers.Dense(units, kernel_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=1))


@pytest.mark.parametrize("kind", DECIDERS)
@pytest.mark.parametrize("usage", [0.0, 0.25, 0.6, 1.0])
def test_the_share_of_units_comes_near(kind, usage, toy_chain, toy_images):
    model = DynamicModel(toy_chain(), DECIDERS[kind]())
    images = toy_images(60)
    model.build((None, 8, 8, 3))
    tau = fit_usage(model, images, usage)
    decisions = model.outcome(images, training=False).decisions
    found = np.mean([keras.ops.convert_to_numpy(value) for value in decisions.values()])
    assert found == pytest.approx(usage, abs=0.06)  # gates that see nearly the same in all images open together
    assert float(model.decider.tau) == pytest.approx(tau)


def test_what_has_no_tau_or_is_no_share_is_an_error(toy_chain, toy_images):
    model = DynamicModel(toy_chain())
    model.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="usage is fitted by a decider's tau, which Always lacks; give a model with"):
        fit_usage(model, toy_images(4), 0.5)
    with pytest.raises(ValueError, match=r"usage must be a number between 0 and 1, got 1\.5"):
        fit_usage(model, toy_images(4), 1.5)
