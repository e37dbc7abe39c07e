"""The images of each class: which paths they take, and which of them run least and most."""

from __future__ import annotations

import textwrap

import numpy as np

from keras_dynamic.metrics import units_run
from keras_dynamic.report import analysis, formatting, photographs, style
from keras_dynamic.report.analysis import Path
from keras_dynamic.report.schema import PerImage

# Inches; a class's paths stand side by side, each with its units as a strip, a line of words and images.
_PATHS, _PER_PATH, _BETWEEN = 3, 3, 0.2
_COLUMN = (style.WIDTH - (_PATHS - 1) * _BETWEEN) / _PATHS
_EDGE, _HEADING, _STRIP, _WORDS, _GAP = 0.06, 0.3, 0.13, 0.27, 0.04
_SIDE = (_COLUMN - (_PER_PATH - 1) * _GAP) / _PER_PATH
_CLASS = _HEADING + _STRIP + _WORDS + _SIDE + 0.22
_NOTCH = 0.024

# Inches; a class's easiest and hardest images stand in one row behind its name.
_ENDS, _NAME, _MIDDLE, _HEADER, _NUMBER = 4, 1.0, 0.24, 0.36, 0.24
_LETTERS = 13
_SMALL = (style.WIDTH - _NAME - _MIDDLE - 2 * (_ENDS - 1) * _GAP) / (2 * _ENDS)


def paths_of_classes(evaluation: PerImage, classes: list[int], colour: str) -> style.Figure:
    """Draws the most frequent paths of each class with the first images that take them.

    Args:
        evaluation: What a network did with each image; at least one decision.
        classes: The classes to show, at least one; each has at least one image.
        colour: Colour of the units that run.

    Returns:
        The figure; a path is a strip of units in the network's order, those that it runs filled.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, Figure 4.
    """
    figure = style.empty_figure(_EDGE + _CLASS * len(classes))
    labels, units = np.asarray(evaluation.labels), units_run(evaluation.decisions)
    for row, label in enumerate(classes):
        top, of_class = _EDGE + row * _CLASS, labels == label
        name, images = evaluation.class_names[label], int(of_class.sum())
        photographs.write(figure, name, 0, top, fontweight="bold", fontsize=style.FONT_SIZE)
        words = f"{images:,} images, {units[of_class].mean():.1f} units on average"
        photographs.write(figure, words, style.WIDTH, top + 0.02, ha="right", color=style.MUTED)
        for column, path in enumerate(analysis.dominant_paths(evaluation, _PATHS, label)):
            _draw_path(figure, evaluation, path, column * (_COLUMN + _BETWEEN), top + _HEADING, colour)
    return figure


def easy_and_hard(evaluation: PerImage, classes: list[int]) -> style.Figure:
    """Draws, of each class, rightly answered images that run the fewest units and the most.

    Args:
        evaluation: What a network did with each image; at least one decision.
        classes: The classes to show, at least one.

    Returns:
        The figure; under each image stands how many units it runs.

    Source:
        Wu et al., BlockDrop: Dynamic Inference Paths in Residual Networks, 2018, Figure 5.
    """
    row_height = _SMALL + _NUMBER
    figure = style.empty_figure(_HEADER + row_height * len(classes))
    units = units_run(evaluation.decisions)
    ends = {0: _NAME, 1: _NAME + _ENDS * (_SMALL + _GAP) - _GAP + _MIDDLE}
    for end, words in enumerate(("Fewest units", "Most units")):
        photographs.write(figure, words, ends[end], _EDGE, fontweight="bold", fontsize=style.FONT_SIZE)
    for row, label in enumerate(classes):
        top = _HEADER + row * row_height
        name = textwrap.fill(evaluation.class_names[label].replace("_", " "), _LETTERS)
        photographs.write(figure, name, 0, top + _SMALL / 2, va="center")
        for end, chosen in enumerate(analysis.easiest_and_hardest(evaluation, label, _ENDS)):
            for place, index in enumerate(chosen):
                left = ends[end] + place * (_SMALL + _GAP)
                photographs.place(figure, evaluation.images[index], left, top, _SMALL)
                below = {"ha": "center", "fontsize": style.FONT_SIZE - 2, "color": style.MUTED}
                photographs.write(figure, f"{units[index]}", left + _SMALL / 2, top + _SMALL + 0.02, **below)
    return figure


def _draw_path(figure: style.Figure, evaluation: PerImage, path: Path, left: float, top: float, colour: str) -> None:
    strip = photographs.box(figure, left, top, _COLUMN, _STRIP)
    colours = [colour if runs else style.FAINT for runs in path.runs]
    width = 1 - min(_NOTCH * len(path.runs) / _COLUMN, 0.2)
    strip.bar(np.arange(len(path.runs)), 1.0, width=width, color=colours)
    strip.set_xlim(-width / 2, len(path.runs) - 1 + width / 2)
    strip.set_ylim(0, 1)
    share, right = formatting.percent(path.share, 0), formatting.percent(path.accuracy, 0)
    count = int(path.runs.sum())
    words = f"{count} unit{'' if count == 1 else 's'}, {share}, {right} right"
    photographs.write(figure, words, left, top + _STRIP + 0.04, fontsize=style.FONT_SIZE - 2, color=style.MUTED)
    right_answers = analysis.is_right(evaluation)
    for place, index in enumerate(path.images[:_PER_PATH]):
        where = left + place * (_SIDE + _GAP), top + _STRIP + _WORDS, _SIDE
        photographs.place(figure, evaluation.images[index], *where, wrong=not right_answers[index])
