"""Bars that stand for the right shares."""

import numpy as np
import pytest

from keras_dynamic.report import decision_pictures


def test_one_bar_per_unit_in_order(report):
    system = report["systems"]["gated"]
    (axes,) = decision_pictures.activation_rates(system["activation_rates"], "#d55e00").axes
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


def test_shares_of_images_add_up_beside_mean_and_static_macs(evaluations):
    macs = evaluations["gated"].macs
    (axes,) = decision_pictures.macs_distribution(macs, 69_000_000, "#d55e00").axes
    assert sum(bar.get_height() for bar in axes.containers[0]) == pytest.approx(100)
    assert [line.get_xdata()[0] for line in axes.lines] == pytest.approx([macs.mean() / 1e6, 69.0])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"mean {macs.mean() / 1e6:.1f} M",
        "static 69.0 M",
    ]
