"""Lower bound for the time of the compact execution: the measured time of the parts that images run."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_dynamic.layers import Unit
from keras_dynamic.layers.exits import head_logits


class Part(NamedTuple):
    """A piece of a chain that an image runs as a whole or not at all: the stem, a unit, an exit's head, the head.

    Attributes:
        call: function () -> output of the part for the images, compiled by TensorFlow.
        guard: name of the decision that is 1 where an image runs it, None if all images do.
    """

    call: Callable[[], Any]
    guard: str | None


def parts_of(model, images) -> dict[str, Part]:
    """Compiles each part of a network on its own, for its inputs when everything runs.

    Args:
        model: built DynamicModel, on TensorFlow, whose decider decides no groups of channels.
        images: [n, height, width, channels], pixel values 0 to 255.

    Returns:
        {name: Part}: 'stem', the names of units and exits in order of execution, and 'head'.
    """
    import tensorflow as tf

    chain, decided = model.chain, model.decider.names
    parts: dict[str, Part] = {}

    def given(name, guard, layer, *inputs):
        compiled = tf.function(lambda *values: layer(*values))
        parts[name] = Part(lambda: compiled(*inputs), guard)
        return compiled(*inputs)

    x = given("stem", None, chain.stem, keras.ops.convert_to_tensor(images, "float32"))
    answered, passed = None, None  # logits of the last exit; name of the last that is decided
    for step in chain.steps():
        if step.exit is not None:
            answered = given(step.exit.name, passed, step.exit, x, answered)
            passed = step.exit.name if step.exit.name in decided else passed
            continue
        own = model.decider.decisions_of(step.unit)[0] if isinstance(step.unit, Unit) else None
        x = given(step.unit.name, own if own in decided else passed, step.unit, x)
        x = x[0] if getattr(step.unit, "nested", False) else x
    given("head", passed, lambda *values: head_logits(chain.head, *values), x, answered)
    return parts


def shares_run(parts, decisions) -> dict[str, float]:
    """Returns the share of the images that run each part.

    Args:
        parts: {name: Part}.
        decisions: {name: 0/1 array [n]} of an Outcome: 0 after the exit at which an image stops.
    """
    return {name: 1.0 if part.guard is None else float(np.mean(decisions[part.guard])) for name, part in parts.items()}


def time_of_what_runs(whole, parts, shares) -> float:
    """Returns the time of a static network without the times of skipped parts.

    Args:
        whole: time of the static network.
        parts: {name: time of that part alone}; they are scaled so that they add up to the whole.
        shares: {name: share of the images that run the part}.

    Returns:
        A time in the unit of `whole`.
    """
    return whole * sum(time * shares[name] for name, time in parts.items()) / sum(parts.values())
