"""Bars that stand for the right shares."""

import numpy as np
import pytest

from keras_dynamic.report import pictures


def test_one_bar_per_unit_in_order(report):
    system = report["systems"]["gated"]
    (axes,) = pictures.activation_rates(system, "#d55e00").axes
    bars = axes.containers[-1]
    np.testing.assert_allclose(
        [bar.get_width() for bar in bars], [100 * v for v in system["activation_rates"].values()]
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == list(system["activation_rates"])
    assert axes.yaxis_inverted()


def test_no_rates_are_an_error():
    with pytest.raises(ValueError, match="activation_rates"):
        pictures.activation_rates({}, "red")


def test_shares_of_images_add_up(report, evaluations):
    panels = pictures.macs_distribution(report, evaluations).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["Cascade: images, %", "Gated: images, %"]
    for axes, evaluation in zip(panels, evaluations.values(), strict=True):
        assert sum(bar.get_height() for bar in axes.containers[0]) == pytest.approx(100)
        means = [line.get_xdata()[0] for line in axes.lines]
        assert means == pytest.approx([evaluation.macs.mean() / 1e6, 69.0])


def test_no_evaluations_are_an_error(report):
    with pytest.raises(ValueError, match="at least one system"):
        pictures.macs_distribution(report, {})
