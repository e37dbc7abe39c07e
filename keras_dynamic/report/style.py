"""The look of the pictures: colours that colour-blind readers tell apart, sizes that a phone shows legibly.

Matplotlib is imported when the first picture is made, and only its object interface is used: no pyplot, no state.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, TypeAlias

# matplotlib.axes.Axes and matplotlib.figure.Figure, named here without importing them.
Axes: TypeAlias = Any
Figure: TypeAlias = Any

INK, MUTED, FAINT = "#1f2328", "#59636e", "#d8dee4"
STATIC, CASCADE_FRONTIER = "#6e7781", "#009e73"
WRONG = "#b3261e"
FONT_SIZE = 11
WIDTH = 6.2

# The palette of Okabe and Ito, without the green that the cascade frontier has.
_SYSTEM_COLOURS = ("#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9")
_SYSTEM_MARKERS = ("s", "D", "^", "v", "P")


def look_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Gives each system a colour and a marker.

    Args:
        names: The systems of a report, in its order.

    Returns:
        {name: (colour, matplotlib marker)}; after five, looks repeat.
    """
    count = len(_SYSTEM_COLOURS)
    return {name: (_SYSTEM_COLOURS[k % count], _SYSTEM_MARKERS[k % count]) for k, name in enumerate(names)}


def empty_figure(height: float, constrained: bool = False) -> Figure:
    """Makes a figure of the common width, without axes.

    Args:
        height: Inches; the width is WIDTH.
        constrained: Whether Matplotlib lays the axes out, instead of the caller.

    Returns:
        The figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained" if constrained else None, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def new_figure(height: float, rows: int = 1, heights: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:
    """Makes a figure of the common width with bare axes, one under the other.

    Args:
        height: Inches; the width is WIDTH.
        rows: How many axes; they share the horizontal one.
        heights: How high they are, relative to one another; None for all the same.

    Returns:
        The figure and its axes, from the top.
    """
    figure = empty_figure(height, constrained=True)
    axes = list(figure.subplots(rows, 1, squeeze=False, sharex=True, height_ratios=heights).flat)
    for each in axes:
        _strip(each)
    return figure, axes


def label_axes(axes: Axes, x: str = "", y: str = "") -> None:
    """Names both axes, with their units.

    Args:
        axes: The axes.
        x: Text under them.
        y: Text over their upper left corner, horizontal so that it reads without turning the head.
    """
    axes.set_xlabel(x, fontsize=FONT_SIZE, color=MUTED, labelpad=6)
    axes.set_title(y, fontsize=FONT_SIZE, color=MUTED, loc="left", pad=8)


def legend_above(axes: Axes, columns: int, left: bool = False, **look) -> None:
    """Writes a legend over one end of the axes.

    Args:
        axes: The axes.
        columns: How many entries stand in a row.
        left: Whether it stands over the left end.
        look: Further arguments of Matplotlib's legend.
    """
    axes.legend(
        loc="lower left" if left else "lower right",
        bbox_to_anchor=(0 if left else 1, 1),
        ncols=columns,
        frameon=False,
        labelcolor=MUTED,
        borderaxespad=0.2,
        borderpad=0,
        **{"fontsize": FONT_SIZE - 1, **look},
    )


def png(figure: Figure, dots_per_inch: int = 200) -> bytes:
    """Draws a figure.

    Args:
        figure: The figure.
        dots_per_inch: Resolution.

    Returns:
        The PNG file; the same figure gives the same bytes.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Draws a figure without a resolution.

    Args:
        figure: The figure.

    Returns:
        The SVG file with its letters as outlines; the same figure gives the same bytes.
    """
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "keras_dynamic", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _strip(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(labelsize=FONT_SIZE - 1, colors=MUTED, color=FAINT)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
