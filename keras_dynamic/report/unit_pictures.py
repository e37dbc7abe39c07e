"""How many units images run, and how often they are answered rightly."""

from __future__ import annotations

import numpy as np

from keras_dynamic.report import analysis, style
from keras_dynamic.report.schema import PerImage

# Accuracy of fewer images than this, or than one in a hundred where there are few, says nothing and is left out.
ENOUGH = 10
_MOST_NUMBERED_BARS, _MOST_BARS = 16, 24


def units_and_accuracy(evaluation: PerImage, colour: str) -> style.Figure:
    """Draws the distribution of units run, and under it the accuracy of the images that run that many.

    Args:
        evaluation: What a network did with each image; at least one decision.
        colour: Colour of bars and points.

    Returns:
        The figure; the upright lines are 95 % intervals (Wilson), the dashed line is the accuracy of all images. Where
        the numbers of units differ widely, neighbouring ones share a bar.
    """
    images = len(evaluation.labels)
    groups, step = _in_steps(analysis.by_units(evaluation))
    figure, (bars, points) = style.new_figure(4.6, rows=2)
    shares = 100 * groups.images / images
    bars.bar(groups.units, shares, width=0.72 * step, color=colour, alpha=0.85)
    if len(groups.units) <= _MOST_NUMBERED_BARS:
        for units, share in zip(groups.units, shares, strict=True):
            text = "<1" if share < 1 else f"{share:.0f}"
            bars.text(units, share, text, ha="center", va="bottom", fontsize=style.FONT_SIZE - 2, color=style.INK)
    bars.set_ylim(0, 1.15 * float(shares.max()))
    bars.grid(visible=False, axis="x")
    style.label_axes(bars, "", "Images, %")

    _draw_accuracy(points, groups, images, colour)
    overall = 100 * float(groups.right.sum()) / images
    points.axhline(overall, color=style.STATIC, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1)
    points.set_xlim(groups.units[0] - 0.8 * step, groups.units[-1] + 0.8 * step)
    points.grid(visible=False, axis="x")
    points.xaxis.get_major_locator().set_params(integer=True)
    count = analysis.path_matrix(evaluation.decisions).shape[1]
    steps = "" if step == 1 else f", in steps of {step}"
    words = f"Answered rightly, % (dashed: all images, {overall:.1f})"
    style.label_axes(points, f"Units run, of {count} that can be skipped{steps}", words)
    return figure


def _in_steps(groups: analysis.ByUnits) -> tuple[analysis.ByUnits, int]:
    """Joins neighbouring numbers of units to at most _MOST_BARS groups, each at its middle; returns their width too."""
    first, last = int(groups.units[0]), int(groups.units[-1])
    step = -(-(last - first + 1) // _MOST_BARS)
    kept, place = np.unique((groups.units - first) // step, return_inverse=True)
    images, right = (np.bincount(place, weights=each).astype(int) for each in (groups.images, groups.right))
    return analysis.ByUnits(first + kept * step + (step - 1) / 2, images, right), step


def _draw_accuracy(axes: style.Axes, groups: analysis.ByUnits, images: int, colour: str) -> None:
    kept = groups.images >= min(ENOUGH, max(1, images // 100))
    units, right, counts = groups.units[kept], groups.right[kept], groups.images[kept]
    low, high = analysis.accuracy_interval(right, counts)
    axes.vlines(units, 100 * low, 100 * high, color=colour, linewidth=2.5, alpha=0.45, zorder=2)
    axes.plot(units, 100 * right / counts, color=colour, marker="o", markersize=6, linewidth=1.2, zorder=3)
    bottom = 100 * float(low.min())
    axes.set_ylim(max(bottom - 0.06 * (100 - bottom), 0), 100 + 0.06 * (100 - bottom))
