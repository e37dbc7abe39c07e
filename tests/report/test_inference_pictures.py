"""Ways to run a network at their places, and numbers that keep clear of one another."""

import itertools

import numpy as np
import pytest

from keras_dynamic.report import style, training_sections

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
    (axes,) = training_sections.ways_to_run(system, COLOUR).axes
    return axes


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_curve_points_and_lines_stand_at_their_figures():
    axes = drawn(SYSTEM)
    curve, own, always_on, spread, sampled, ensemble = axes.lines[:6]
    np.testing.assert_allclose(curve.get_xydata(), [[66, 92.5], [48, 91.7], [30, 85]])
    assert (curve.get_color(), own.get_marker(), sampled.get_marker()) == (COLOUR, "s", "D")
    np.testing.assert_allclose(own.get_xydata(), [[48, 91.7]])
    np.testing.assert_allclose(always_on.get_xydata(), [[69, 92.6]])
    assert always_on.get_markerfacecolor() == style.STATIC
    np.testing.assert_allclose(spread.get_xydata(), [[47, 90.88], [47, 91.12]])
    np.testing.assert_allclose(sampled.get_xydata(), [[47, 91]])
    assert ensemble.get_ydata() == [92.35, 92.35]
    expected = ["own threshold", "everything on", "sampled", "5 samples together, 5.0 times the MACs"]
    assert words(axes) == [*expected, "0.1", "0.5", "0.9"]


def test_a_policy_has_a_curve_alone():
    axes = drawn({key: SYSTEM[key] for key in ("accuracy", "macs_mean", "tau_sweep")})
    assert words(axes) == ["own threshold", "0.1", "0.5", "0.9"]


def test_thresholds_that_make_no_difference_share_a_number():
    taus = (0.1, 0.2, 0.3, 0.9)
    sweep = [{"tau": tau, "accuracy": 0.9, "macs_mean": (48 if tau < 0.9 else 30) * 1e6} for tau in taus]
    assert words(drawn({**SYSTEM, "tau_sweep": sweep}))[-2:] == ["0.1 to 0.3", "0.9"]


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
    assert words(axes) == ["own threshold", "0.1 to 0.9"]
