"""Gradients of the plain network's units beside how often the dynamic one runs them."""

from __future__ import annotations

import numpy as np

from keras_dynamic.report import style
from keras_dynamic.report.gradients import Stage

_GAP = 1  # between stages, in units
_MOST_NUMBERED = 24
_MOST_MARKED = 60


def gradients_and_rates(stages: list[Stage], colour: str) -> style.Figure:
    """Draws each unit's gradient magnitude as a bar, and over it the share of images that run it as a point.

    Args:
        stages: As gradients.stages_of gives them.
        colour: Colour of the points and of the line through those of a stage.

    Returns:
        The figure; hollow points are units that always run.

    Source:
        SGAD (Wang et al. 2018), figure 4.
    """
    figure, (axes,) = style.new_figure(3.4)
    count = sum(len(stage.units) for stage in stages)
    ticks: list[int] = []
    words: list[str] = []
    start = 0
    for stage in stages:
        places = start + np.arange(len(stage.units))
        axes.bar(places, stage.magnitudes, width=0.72, color=style.STATIC, alpha=0.45)
        axes.plot(places, stage.rates, color=colour, linewidth=1.4, zorder=3)
        size = 6 if count <= _MOST_MARKED else 4
        for chosen, fill in ((stage.decided, colour), (~stage.decided, "white")):
            if not chosen.any():
                continue  # an unclipped line of no points would take room
            axes.plot(
                places[chosen],
                stage.rates[chosen],
                linestyle="",
                marker="o",
                markersize=size,
                markerfacecolor=fill,
                markeredgecolor=colour,
                clip_on=False,  # rates of 0 lie on the edge
                zorder=4,
            )
        if stage.name:
            axes.text(places.mean(), 1.1, stage.name, ha="center", fontsize=style.FONT_SIZE - 1, color=style.INK)
        if start:
            axes.axvline(start - (1 + _GAP) / 2, color=style.FAINT, linewidth=1.2)
        step = 1 if count <= _MOST_NUMBERED else -(-len(places) // max(1, _MOST_NUMBERED // max(3, len(stages))))
        ticks += places[::step].tolist()
        words += stage.labels[::step]
        start = int(places[-1]) + 1 + _GAP
    axes.set_xticks(ticks, words)
    axes.set_xlim(-0.9, start - _GAP - 0.1)
    axes.set_ylim(0, 1.2)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", length=0)
    _explain(axes, colour)
    style.label_axes(axes, "Unit of the stage" if len(stages) > 1 else "Unit, in the network's order")
    return figure


def _explain(axes: style.Axes, colour: str) -> None:
    """Says over the axes what bars and points are, each in its colour."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks = [
        Patch(color=style.STATIC, alpha=0.45, label="Gradient, largest = 1"),
        Line2D([], [], color=colour, marker="o", linewidth=1.4, label="Share of images that run it"),
    ]
    style.legend_above(axes, 2, left=True, handles=marks, handlelength=1.4, columnspacing=1.4)
