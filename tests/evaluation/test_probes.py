"""Linear classifiers on the outputs of units, and stand-ins for weaker networks."""

import keras
import numpy as np
import pytest

from keras_dynamic.evaluation.probes import Probes, answers_of_accuracy, probe_units
from keras_dynamic.layers import Chain, DynamicModel, Residual

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 600)


def network(units=3, size=4):
    """Units that return what they get, and a head that knows the first three channels."""
    identity = [keras.layers.Conv2D(6, 1, kernel_initializer="zeros", name=f"zero{k}") for k in range(units)]
    head = [
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, kernel_initializer=lambda *_, **__: 20 * np.eye(6, 3)),
    ]
    units = [Residual(layer, name=f"unit{k}") for k, layer in enumerate(identity)]
    model = DynamicModel(Chain(keras.layers.Identity(), units, keras.Sequential(head)))
    model.build((None, size, size, 6))
    return model


def images(size=4):
    """Six channels of which the first three say the class, with noise; no single pixel does."""
    x = RNG.normal(0, 2.0, (600, size, size, 6)).astype(np.float32)
    x[np.arange(600), :, :, Y] += 1
    return x


def test_a_linear_classifier_finds_what_a_unit_returns():
    probes = probe_units(network(), images(), Y)
    assert probes.after == ["unit0", "unit1"]  # after the last stands the network's own head
    assert probes.logits.shape == (2, 600, 3)
    whole = (probes.whole.argmax(-1) == Y).mean()
    assert 0.75 < whole < 0.95
    for accuracy in probes.accuracies(Y):
        assert accuracy == pytest.approx(whole, abs=0.05)


def test_nothing_is_found_in_noise():
    """Each input is judged by a classifier that has not seen it, or it would be right more often than by chance."""
    x = RNG.normal(size=(600, 4, 4, 6)).astype(np.float32)
    assert max(probe_units(network(), x, Y).accuracies(Y)) < 0.4


def test_places_are_spread_and_the_last_unit_is_none():
    probes = probe_units(network(units=9), images(), Y, places=3)
    assert probes.after == ["unit0", "unit4", "unit7"] or probes.after == ["unit0", "unit3", "unit7"]
    assert probe_units(network(units=1), images(), Y).after == []


def test_large_maps_are_averaged():
    probes = probe_units(network(size=32), images(32), Y)
    assert min(probes.accuracies(Y)) > 0.9


@pytest.mark.parametrize("wanted", [0.4, 0.6, 0.75, 0.85, 0.9])
def test_stand_ins_are_right_as_often_as_wanted_and_err_where_little_is_known(wanted):
    logits = 3 * np.eye(3)[Y] + RNG.normal(0, 2, (600, 3))
    weaker = logits + RNG.normal(0, 3, (600, 3))
    probes = Probes(["unit"], weaker[None].astype(np.float32), logits.astype(np.float32))
    found = answers_of_accuracy(probes, Y, wanted)
    right = found.argmax(-1) == Y
    assert right.mean() == pytest.approx(min(wanted, (logits.argmax(-1) == Y).mean()), abs=0.01)
    if wanted > 0.5:
        sure = np.sort(logits, axis=1)[:, -1] - np.sort(logits, axis=1)[:, -2]
        assert sure[right].mean() > 1.2 * sure[~right].mean()
