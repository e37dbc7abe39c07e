"""The images that took the shortest and the longest paths."""

from __future__ import annotations

import numpy as np

from keras_dynamic.report import formatting, photographs, style
from keras_dynamic.report.schema import PerImage

_COLUMNS, _ROWS = 4, 2

# Inches.
_IMAGE, _GAP, _TITLE, _CAPTION = 1.46, 0.12, 0.44, 0.5


def extremes(macs: np.ndarray, labels: np.ndarray, count: int, longest: bool) -> np.ndarray:
    """Chooses the images with the fewest or the most MACs; among equal costs every class in turn, in the data's order.

    Args:
        macs: MACs of each image [n].
        labels: Class of each image [n].
        count: How many to choose; fewer if there are fewer.
        longest: The most MACs instead of the fewest.

    Returns:
        Indices, most extreme first.
    """
    macs, labels = np.asarray(macs), np.asarray(labels)
    turn = np.zeros(len(macs), int)
    seen: dict[tuple, int] = {}
    for index, key in enumerate(zip(macs.tolist(), labels.tolist(), strict=True)):
        turn[index] = seen.get(key, 0)
        seen[key] = turn[index] + 1
    order = np.lexsort((np.arange(len(macs)), turn, -macs if longest else macs))
    return order[:count]


def shortest_and_longest(evaluation: PerImage) -> style.Figure:
    """Draws the images that a system spent least and most on, with their classes, its predictions and its MACs.

    Args:
        evaluation: The system's images, labels, predictions and MACs.

    Returns:
        The figure: two rows of the shortest paths, under them two rows of the longest; wrong predictions in red.
    """
    half = _TITLE + _ROWS * (_IMAGE + _CAPTION)
    figure = style.empty_figure(2 * half)
    for top, longest in ((0.0, False), (half, True)):
        photographs.write(figure, _title(evaluation, longest), 0, top + 0.12, fontsize=style.FONT_SIZE + 1)
        chosen = extremes(evaluation.macs, evaluation.labels, _ROWS * _COLUMNS, longest)
        for place, index in enumerate(chosen):
            row, column = divmod(place, _COLUMNS)
            where = column * (_IMAGE + _GAP), top + _TITLE + row * (_IMAGE + _CAPTION)
            axes = photographs.place(figure, evaluation.images[index], *where, _IMAGE)
            _caption(axes, evaluation, int(index))
    return figure


def _title(evaluation: PerImage, longest: bool) -> str:
    macs = np.asarray(evaluation.macs)
    end = macs.max() if longest else macs.min()
    which, count = "Longest" if longest else "Shortest", np.count_nonzero(macs == end)
    share = f"{count:,} of {len(macs):,} images {'takes' if count == 1 else 'take'}"
    return f"{which} paths; {share} the {which.lower()}, {formatting.millions(float(end))} MACs"


def _caption(axes: style.Axes, evaluation: PerImage, index: int) -> None:
    label, prediction = int(evaluation.labels[index]), int(evaluation.predictions[index])
    names = evaluation.class_names
    macs = formatting.millions(float(evaluation.macs[index]))
    words = {"fontsize": style.FONT_SIZE - 0.5, "transform": axes.transAxes, "ha": "center", "va": "top"}
    axes.text(0.5, -0.04, f"{names[label]}, {macs}", color=style.INK, **words)
    if label != prediction:
        axes.text(0.5, -0.18, f"taken for {names[prediction]}", color=style.WRONG, **words)
