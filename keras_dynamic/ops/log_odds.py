"""Probabilities as log odds, with bounds in place of infinity."""

from keras import ops

_BOUND = 1e4  # stands for the infinite log odds of 0 and 1; no network's logit comes near it


def log_odds(probability):
    """Returns log(p / (1 - p)), -1e4 for 0 and 1e4 for 1.

    Args:
        probability: float tensor in [0, 1], of any shape.

    Returns:
        Tensor of the same shape.
    """
    return ops.clip(ops.log(probability) - ops.log1p(-probability), -_BOUND, _BOUND)
