"""The numbers that say how much a trained network runs: thresholds of its exits, tau of its gates."""

import contextlib

import keras

from keras_dynamic.deciders import Confidence, Joined


def exit_confidence(model) -> Confidence | None:
    """Returns the Confidence that decides a network's exits, alone or joined with others; None if there is none.

    Args:
        model: built DynamicModel.
    """
    names = model.chain.exit_names
    if not names:
        return None
    return next((each for each in _parts(model.decider) if isinstance(each, Confidence)), None)


def exit_measure(model) -> str:
    """Returns the measure by which a network's exits are sure: its Confidence's, or else the largest probability.

    Args:
        model: built DynamicModel.
    """
    certain = exit_confidence(model)
    return "max_probability" if certain is None else certain.measure


def with_tau(model) -> list:
    """Returns the deciders of a network that compare probabilities with tau: gates, or a policy, joined or alone.

    Args:
        model: built DynamicModel.
    """
    return [each for each in _parts(model.decider) if hasattr(each, "set_tau")]


def set_tau(model, tau):
    """Sets the threshold of all deciders of a network that have one.

    Args:
        model: built DynamicModel.
        tau: in [0, 1].

    Raises:
        ValueError: if tau is outside [0, 1].
    """
    for each in with_tau(model):
        each.set_tau(tau)


@contextlib.contextmanager
def kept(model):
    """Sets thresholds and tau back to what they were, whatever is set meanwhile.

    Args:
        model: built DynamicModel.
    """
    numbers = [each.tau for each in with_tau(model)]
    numbers += [each.thresholds for each in _parts(model.decider) if isinstance(each, Confidence)]
    before = [keras.ops.convert_to_numpy(number) for number in numbers]
    try:
        yield
    finally:
        for number, value in zip(numbers, before, strict=True):
            number.assign(value)


def _parts(decider):
    """Returns the deciders that a decider joins, or itself."""
    return [part for each in decider.deciders for part in _parts(each)] if isinstance(decider, Joined) else [decider]
