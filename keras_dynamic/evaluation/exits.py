"""Predictions, confidences and costs of a network's exits."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from keras_dynamic import ops
from keras_dynamic.cost import Node, given
from keras_dynamic.data import as_arrays
from keras_dynamic.deciders import CombinedDecider, Confidence
from keras_dynamic.evaluation.evaluate import compiled_outcome
from keras_dynamic.layers.normalize_pixels import warn_of_fractions
from keras_dynamic.ops import check_images, right_answers


def exit_confidence(model) -> Confidence | None:
    """Returns the Confidence decider of a model's exits, alone or combined with others; None if there is none."""
    deciders = _parts(model.decider) if model.chain.exit_names else []
    return next((each for each in deciders if isinstance(each, Confidence)), None)


def exit_confidence_name(model) -> str:
    """Returns the name of the confidence that a model's Confidence decider uses, or else 'max_probability'."""
    certain = exit_confidence(model)
    return "max_probability" if certain is None else certain.confidence


def with_tau(model) -> list:
    """Returns the deciders of a model that compare probabilities with tau: gates and policies."""
    return [each for each in _parts(model.decider) if hasattr(each, "set_tau")]


def set_tau(model, tau):
    """Sets tau, in [0, 1], of all deciders of a model that have one."""
    for each in with_tau(model):
        each.set_tau(tau)


@contextlib.contextmanager
def kept(model):
    """Restores a model's thresholds and tau when the block ends, after an error too."""
    numbers = [each.tau for each in with_tau(model)]
    numbers += [each.thresholds for each in _parts(model.decider) if isinstance(each, Confidence)]
    before = [keras.ops.convert_to_numpy(number) for number in numbers]
    try:
        yield
    finally:
        for number, value in zip(numbers, before, strict=True):
            number.assign(value)


def _parts(decider):
    """Returns the deciders that a decider combines, or itself."""
    if isinstance(decider, CombinedDecider):
        return [part for each in decider.deciders for part in _parts(each)]
    return [decider]


def _same(tree):
    return tree


class ExitAnswers(NamedTuple):
    """Predictions of k exits, the chain's head as the last, for n images.

    Attributes:
        predictions: int array, [n, k], or [n, k, ...] where an image has several answers.
        confidences: float32 array, [n, k].
        macs: int64 array, [n, k], of an image that stops at each exit, earlier exits included.
        decisions: {name: 0/1 float32 array [n]} of the run, in which no image stops.
    """

    predictions: np.ndarray
    confidences: np.ndarray
    macs: np.ndarray
    decisions: dict


def check_exits(model):
    """Raises a ValueError if a model has no exits, or has decisions on anything but exits."""
    names = model.chain.exit_names
    if not names:
        raise ValueError(f"model {model.name!r} has no exits; give Chain some, exits=[Exit(...), ...].")
    others = [name for name in model.decision_names if name not in names]
    if others:
        raise ValueError(
            f"model {model.name!r} decides {others[0]!r} too, so that its exits have no costs of their own; give a "
            "network that decides nothing but its exits."
        )


def exit_answers(
    model, x, confidence="max_probability", batch_size=250, outcome=None, price: Callable[[Node], Node] = _same
) -> ExitAnswers:
    """Runs a network to its end and returns the predictions of every exit.

    With a Confidence decider other deciders may decide units, which are then skipped as usual.

    Args:
        model: built DynamicModel with exits.
        x: inputs, [n, ...], or a data set of batches.
        confidence: 'max_probability', 'entropy' or 'margin'.
        batch_size: images at a time.
        outcome: compiled_outcome(model), to compile only once for several calls.
        price: function from a cost tree to one in another unit, which `macs` are then in, such as Budget.tree.

    Returns:
        ExitAnswers.

    Raises:
        ValueError: if images are missing or not finite, the network has no exits, decides units too but
            has no Confidence decider for its exits, or the confidence is none of the three.
    """
    x, _ = as_arrays(x)
    check_images(x)
    warn_of_fractions(model, x)
    certain = exit_confidence(model)
    if certain is None:
        check_exits(model)
    outcome = compiled_outcome(model) if outcome is None else outcome
    found = []
    with kept(model):
        if certain is not None:  # no image stops
            certain.set_thresholds(np.full(len(certain.names), np.inf))
        for start in range(0, len(x), batch_size):
            images = keras.ops.convert_to_tensor(x[start : start + batch_size])
            going = None if certain else {name: keras.ops.ones(len(images)) for name in model.decision_names}
            result = outcome(images, going)
            logits = [*(result.exits[name] for name in model.chain.exit_names), result.logits]
            sure = [keras.ops.convert_to_numpy(ops.confidence(each, confidence)) for each in logits]
            predicted = [ops.answers(each, model.task) for each in logits]
            decisions = {name: keras.ops.convert_to_numpy(value) for name, value in result.decisions.items()}
            macs = _macs(model, decisions, len(images), price)
            found.append(ExitAnswers(np.stack(predicted, axis=1), np.stack(sure, axis=1), macs, decisions))
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *found)


def exit_labels(model, x, y) -> np.ndarray:
    """Returns checked labels, int [n, 1, ...], to compare with ExitAnswers.predictions."""
    check_images(x)
    return right_answers(y, (len(x), *model.logits_shape[1:]), model.task)[:, None]


def right_at_exits(predictions, labels) -> np.ndarray:
    """Returns the share of right answers of each image at each exit, [n, exits]."""
    same = predictions == labels
    return same if same.ndim == 2 else same.reshape(*same.shape[:2], -1).mean(axis=-1)


def _macs(model, decisions, images, price=_same):
    """Returns the MACs of images that stop at each exit, [images, exits]."""
    names = model.chain.exit_names
    if exit_confidence(model) is not None:
        tree = model.cost_tree
    else:  # the tree in which confidence decides the exits: every exit on the way is computed
        decider = Confidence()
        decider.bind(model.chain)
        tree = decider.tree
    tree = price(tree)
    passed = np.tri(len(names) + 1, len(names), -1)  # a row per exit at which to stop
    columns = [given(tree, {**decisions, **dict(zip(names, row[:, None], strict=True))}) for row in passed]
    return np.stack([np.broadcast_to(each, images) for each in columns], axis=1)


def exit_macs(model) -> list[int]:
    """Returns the MACs of an image that stops at each exit, earlier exits included; the head's last.

    Args:
        model: built DynamicModel with exits.

    Raises:
        ValueError: if the network has no exits, or decides units too.
    """
    check_exits(model)
    return most_at_exits(model)


def most_at_exits(model, price: Callable[[Node], Node] = _same) -> list:
    """Returns what an image costs at most that stops at each exit, with all other decisions 1; the head's last.

    Args:
        model: built DynamicModel with exits.
        price: as of exit_answers.
    """
    return _macs(model, dict.fromkeys(model.decision_names, np.ones(1)), 1, price)[0].tolist()
