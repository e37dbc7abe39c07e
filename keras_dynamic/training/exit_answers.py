"""What the exits of a network answer, and what it costs to stop at each."""

from typing import NamedTuple

import keras
import numpy as np

from keras_dynamic.cost import given
from keras_dynamic.deciders import Confidence
from keras_dynamic.ops import confidence
from keras_dynamic.training.evaluate import compiled_outcome


class ExitAnswers(NamedTuple):
    """Answers of k exits, the chain's head as the last, for n images.

    Attributes:
        predictions: int array, [n, k].
        confidences: float32 array, [n, k].
    """

    predictions: np.ndarray
    confidences: np.ndarray


def check_exits(model):
    """Raises a ValueError if a network has no exits, or decides anything else than where to stop.

    Args:
        model: built DynamicModel.
    """
    names = model.chain.exit_names
    if not names:
        raise ValueError(f"model {model.name!r} has no exits; give Chain some, exits=[Exit(...), ...].")
    others = [name for name in model.decision_names if name not in names]
    if others:
        raise ValueError(
            f"model {model.name!r} decides {others[0]!r} too, so that its exits have no costs of their own; give a "
            "network that decides nothing but its exits."
        )


def exit_answers(model, x, measure="max_probability", batch_size=250, outcome=None) -> ExitAnswers:
    """Runs a network to its end and reads every exit.

    Args:
        model: built DynamicModel with exits.
        x: images, [n, height, width, channels].
        measure: of confidence: 'max_probability', 'entropy' or 'margin'.
        batch_size: images at a time.
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        ExitAnswers.

    Raises:
        ValueError: if the network has no exits, decides units too, or the measure is none of the three.
    """
    check_exits(model)
    outcome = compiled_outcome(model) if outcome is None else outcome
    names, found = model.decision_names, []
    for start in range(0, len(x), batch_size):
        images = keras.ops.convert_to_tensor(x[start : start + batch_size])
        going = {name: keras.ops.ones(len(images)) for name in names}
        told = outcome(images, going)
        answers = [*told.exits.values(), told.logits]
        certain = [keras.ops.convert_to_numpy(confidence(each, measure)) for each in answers]
        predicted = [keras.ops.convert_to_numpy(each).argmax(-1) for each in answers]
        found.append((np.stack(predicted, axis=1), np.stack(certain, axis=1)))
    return ExitAnswers(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def exit_macs(model) -> list[int]:
    """Returns the MACs of an image that stops at each exit, those of the exits before included; the head's last.

    Args:
        model: built DynamicModel with exits.

    Raises:
        ValueError: if the network has no exits, or decides units too.
    """
    check_exits(model)
    names = model.chain.exit_names
    decider = Confidence()  # which reads every answer on the way
    decider.bind(model.chain)
    passed = np.tri(len(names) + 1, len(names), -1)  # a row per exit at which to stop
    return [int(macs) for macs in given(decider.tree, dict(zip(names, passed.T, strict=True)))]
