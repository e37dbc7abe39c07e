"""Bars that stand for the right shares."""

import numpy as np
import pytest

from keras_dynamic.report import decision_pictures


def test_one_bar_per_unit_in_order(report):
    system = report["systems"]["gated"]
    (axes,) = decision_pictures.activation_rates(system, "#d55e00").axes
    bars = axes.containers[-1]
    np.testing.assert_allclose(
        [bar.get_width() for bar in bars], [100 * v for v in system["activation_rates"].values()]
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == list(system["activation_rates"])
    assert axes.yaxis_inverted()


def test_of_many_decisions_a_units_channel_groups_share_a_bar():
    rates = {f"unit{unit}[{group}]": unit / 10 + group / 100 for unit in range(8) for group in (1, 2, 3, 4)}
    assert decision_pictures.rates_to_draw(rates) == rates  # 32: each has a bar
    assert decision_pictures.rates_to_draw({**rates, "unit8": 0.5}) == pytest.approx(
        {**{f"unit{unit}": unit / 10 + 0.025 for unit in range(8)}, "unit8": 0.5}
    )


def test_words_of_lines_that_are_near_one_another_do_not_overlap(report, evaluations):
    evaluation = evaluations["gated"]
    report["systems"]["gated"]["macs_static"] = 1.02 * evaluation.macs.mean()
    dear = evaluation._replace(macs=evaluation.macs.mean() + 1e5 * np.arange(-20, 20))
    (axes,) = decision_pictures.macs_distribution(report, {"gated": dear}).axes
    axes.figure.draw_without_rendering()
    one, other = (text.get_window_extent() for text in axes.texts)
    assert not one.overlaps(other)


def test_no_rates_are_an_error():
    with pytest.raises(ValueError, match="activation_rates"):
        decision_pictures.activation_rates({}, "red")


def test_shares_of_images_add_up(report, evaluations):
    panels = decision_pictures.macs_distribution(report, evaluations).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["Cascade: images, %", "Gated: images, %"]
    for axes, evaluation in zip(panels, evaluations.values(), strict=True):
        assert sum(bar.get_height() for bar in axes.containers[0]) == pytest.approx(100)
        means = [line.get_xdata()[0] for line in axes.lines]
        assert means == pytest.approx([evaluation.macs.mean() / 1e6, 69.0])


def test_no_evaluations_are_an_error(report):
    with pytest.raises(ValueError, match="at least one system"):
        decision_pictures.macs_distribution(report, {})
