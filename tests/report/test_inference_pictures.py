"""Ways to run a network at their places, and numbers that keep clear of one another."""

import itertools

import numpy as np
import pytest

from keras_dynamic.report import curve_pictures, style

SWEEP = [
    {"tau": 0.1, "accuracy": 0.925, "macs_mean": 66e6},
    {"tau": 0.5, "accuracy": 0.917, "macs_mean": 48e6},
    {"tau": 0.9, "accuracy": 0.85, "macs_mean": 30e6},
]
WAYS = [
    {"mode": "threshold", "tau": 0.5, "accuracy": 0.917, "macs_mean": 48e6},
    {"mode": "always_on", "accuracy": 0.926, "macs_mean": 69e6},
    {
        "mode": "stochastic",
        "runs": 5,
        "accuracy": 0.91,
        "accuracy_std": 0.0012,
        "macs_mean": 47e6,
        "macs_mean_std": 1e5,
    },
    {"mode": "ensemble", "runs": 2, "accuracy": 0.918, "macs_mean": 94e6},
    {"mode": "ensemble", "runs": 5, "accuracy": 0.9235, "macs_mean": 240e6},
]
SYSTEM = {"accuracy": 0.917, "macs_mean": 48e6, "tau_sweep": SWEEP, "inference": WAYS}
COLOUR = "#0072b2"


def drawn(system):
    (axes,) = curve_pictures.thresholds_against_macs(system, (COLOUR, "s")).axes
    return axes


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_curve_and_points_stand_at_their_figures():
    axes = drawn(SYSTEM)
    curve, own, always_on, sampled = axes.lines[:4]
    np.testing.assert_allclose(curve.get_xydata(), [[30, 85], [48, 91.7], [66, 92.5]])
    assert (curve.get_color(), own.get_marker(), sampled.get_marker()) == (COLOUR, "s", "D")
    np.testing.assert_allclose(own.get_xydata(), [[48, 91.7]])
    np.testing.assert_allclose(always_on.get_xydata(), [[69, 92.6]])
    assert always_on.get_markerfacecolor() == style.STATIC
    np.testing.assert_allclose(sampled.get_xydata(), [[47, 91]])
    assert words(axes) == ["own threshold", "tau 0.9 to 0.1", "everything on", "sampled"]


def test_a_policy_has_a_curve_alone():
    axes = drawn({key: SYSTEM[key] for key in ("accuracy", "macs_mean", "tau_sweep")})
    assert words(axes) == ["own threshold", "tau 0.9 to 0.1"]


@pytest.mark.parametrize("accuracy", [0.85, 0.9165])
def test_labels_keep_clear_of_one_another(accuracy):
    sweep = [
        {"tau": tau / 10, "accuracy": 0.925 - (0.925 - accuracy) * tau / 9, "macs_mean": (70 - 4 * tau) * 1e6}
        for tau in range(1, 10)
    ]
    axes = drawn({**SYSTEM, "tau_sweep": sweep})
    axes.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def test_one_point_for_all_thresholds_is_drawn_too():
    sweep = [{"tau": tau, "accuracy": 0.917, "macs_mean": 48e6} for tau in (0.1, 0.9)]
    axes = drawn({"accuracy": 0.917, "macs_mean": 48e6, "tau_sweep": sweep})
    assert words(axes) == ["own threshold", "tau 0.1 to 0.9"]
