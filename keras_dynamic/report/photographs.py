"""Images of a data set in a figure, placed by inches from its upper left corner."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_dynamic.report import style

_FRAME = 4.0  # points, of which the inner half is seen


def place(figure: style.Figure, image: np.ndarray, left: float, top: float, side: float, wrong: bool = False) -> Any:
    """Draws an image, smoothly enlarged or made smaller.

    Args:
        figure: A figure without a layout of its own (style.empty_figure).
        image: uint8 [height, width, 3].
        left: Inches from the figure's left edge.
        top: Inches from its upper edge.
        side: Inches of the square that holds the image.
        wrong: Whether it was answered wrongly; it gets a red frame.

    Returns:
        Its axes; they run from 0 to 1, from the lower left corner, under transform=axes.transAxes.
    """
    axes = box(figure, left, top, side, side)
    axes.imshow(image, interpolation="lanczos")
    if wrong:
        axes.axhspan(*axes.get_ylim(), facecolor="none", edgecolor=style.WRONG, linewidth=_FRAME)
    return axes


def box(figure: style.Figure, left: float, top: float, width: float, height: float) -> Any:
    """Makes axes without lines or numbers.

    Args:
        figure: A figure without a layout of its own (style.empty_figure).
        left: Inches from the figure's left edge.
        top: Inches from its upper edge.
        width: Inches.
        height: Inches.

    Returns:
        The axes.
    """
    across, down = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))
    axes.set_axis_off()
    return axes


def write(figure: style.Figure, text: str, left: float, top: float, **look: Any) -> None:
    """Writes a line.

    Args:
        figure: A figure without a layout of its own (style.empty_figure).
        text: The words.
        left: Inches from the figure's left edge to where they begin (or end, with ha="right").
        top: Inches from its upper edge to theirs.
        **look: What matplotlib's text takes, instead of the usual size and colour.
    """
    across, down = figure.get_size_inches()
    look = {"fontsize": style.FONT_SIZE - 1, "color": style.INK, "va": "top"} | look
    figure.text(left / across, 1 - top / down, text, **look)
