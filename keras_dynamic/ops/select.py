"""Run or skip over nests of tensors: select (hard), blend (differentiable) and channel masks."""

import keras
import numpy as np
from keras import ops


def _per_leaf(leaf, decision):
    """Shapes a decision of shape [batch] so that it broadcasts against a leaf of shape [batch, ...]."""
    return ops.reshape(decision, (-1,) + (1,) * (len(leaf.shape) - 1))


def _map(function, branch, otherwise):
    """Applies function to leaf pairs; a leaf that is the same tensor on both sides is returned unchanged."""
    try:
        keras.tree.assert_same_structure(branch, otherwise)
    except (TypeError, ValueError):
        ran, skipped = (keras.tree.map_structure(lambda leaf: tuple(leaf.shape), nest) for nest in (branch, otherwise))
        raise ValueError(
            f"branch and otherwise must be nests of the same structure, got {ran} and {skipped}; give otherwise every "
            "leaf that branch has."
        ) from None
    return keras.tree.map_structure(lambda b, o: b if b is o else function(b, o), branch, otherwise)


def select(condition, branch, otherwise):
    """Returns a nest: branch where the condition holds, otherwise where it does not.

    Args:
        condition: bool tensor, [batch].
        branch: nest of tensors, each [batch, ...].
        otherwise: nest of the same structure and shapes. A leaf that is the very same tensor on both sides is
            returned unchanged.

    Raises:
        ValueError: if the structures differ.
    """
    return _map(lambda b, o: ops.where(_per_leaf(b, condition), b, o), branch, otherwise)


def blend(decision, branch, otherwise):
    """Returns decision * branch + (1 - decision) * otherwise: the differentiable select.

    Args:
        decision: float tensor, [batch].
        branch: nest of float tensors, each [batch, ...].
        otherwise: nest of the same structure and shapes; leaves shared by both sides are returned unchanged.

    Returns:
        Nest of the same structure. For decisions in {0, 1} the values are those of `select`.

    Raises:
        ValueError: if the structures differ.

    Source: BlockDrop and DDI write the mask in this convex form.
    """

    def mix(b, o):
        d = ops.cast(_per_leaf(b, decision), b.dtype)
        return d * b + (1 - d) * o

    return _map(mix, branch, otherwise)


def mask_channels(x, decisions):
    """Multiplies groups of channels by their decisions.

    Args:
        x: [batch, height, width, channels].
        decisions: list of tensors [batch] or numbers, one for each group; all groups have equally many channels.
    """
    batch = ops.shape(x)[0]
    columns = [ops.broadcast_to(ops.cast(decision, "float32"), (batch,)) for decision in decisions]
    # Not ops.repeat, which becomes an operator that TensorFlow Lite Micro lacks, and which gathers by int32 alone.
    groups = np.repeat(np.arange(len(columns), dtype="int32"), x.shape[-1] // len(columns))
    mask = ops.take(ops.stack(columns, axis=1), groups, axis=1)
    return x * ops.cast(ops.reshape(mask, (-1, 1, 1, x.shape[-1])), x.dtype)


def both(one, other):
    """Returns whether both hold: True, False or a bool tensor; each is one of these."""
    if one is True or other is False:
        return other
    return one if other is True or one is False else ops.logical_and(one, other)
