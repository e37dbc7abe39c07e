"""Decisions that come out alike for nearly all images are settled: their gates go."""

import numbers
import warnings

import numpy as np

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel
from keras_dynamic.training.evaluate import evaluate
from keras_dynamic.training.plain_copy import plain_copy
from keras_dynamic.training.prune import check_nothing_nested


def settle(model, images, tolerance=0.02, batch_size=250) -> DynamicModel:
    """Makes decisions that nearly all images share the same for all of them.

    A gate costs time for every image, and where it says the same of nearly all it saves none. What is settled needs
    no gate, in a file no IF, and what is off for all is not in it, unless the exporter folds other groups of the unit.
    Images that would have decided otherwise may be answered otherwise: evaluate the result.

        settled = kd.training.settle(model, images.x_heldout, tolerance=0.04)
        print(settled.decider.settled)

    Args:
        model: built DynamicModel or method with deciders.PerUnitGates or ChannelGates; it stays as it is.
        images: [n, height, width, channels], held-out images; None will do for gates that look at nothing.
        tolerance: share of the images that may decide otherwise than the rest, in [0, 0.5).
        batch_size: images at a time.

    Returns:
        DynamicModel, built, with weights of its own, whose decider has the further decisions in `settled`; it can be
        trained on, exported, and settled again.

    Raises:
        ValueError: if the decider is another, the model is not built or has networks inside its units, tolerance is out
            of range, or images are missing or of another shape.

    Warns:
        UserWarning: if there is nothing to settle.
    """
    decider = getattr(model, "decider", model)
    if not isinstance(decider, PerUnitGates):
        raise ValueError(f"settle takes a model with PerUnitGates or ChannelGates, got {type(decider).__name__}.")
    check_nothing_nested(model, "settle")
    check_tolerance(tolerance)
    rates = decision_rates(model, images, batch_size)
    further = {name: rate > 0.5 for name, rate in rates.items() if min(rate, 1 - rate) <= tolerance}
    if set(further) <= set(decider.settled):
        warnings.warn(
            f"none of the {len(rates)} decisions of {model.name!r} is the same for all images but {tolerance:.0%}; "
            "raise tolerance.",
            stacklevel=2,
        )
    copy = plain_copy(model)
    config = {**copy.decider.get_config(), "settled": {**copy.decider.settled, **further}}
    settled = DynamicModel(copy.chain, type(decider).from_config(config), name=model.name, dtype=model.dtype_policy)
    settled.build(model.image_shape)
    for name, gate in settled.decider.gates.items():
        gate.set_weights(copy.decider.gates[name].get_weights())
    return settled


def check_tolerance(tolerance):
    """Raises a ValueError if tolerance is no share of the images in [0, 0.5)."""
    if not isinstance(tolerance, numbers.Real) or not 0 <= float(tolerance) < 0.5:
        raise ValueError(f"tolerance must be a share of the images under one half, at least 0, got {tolerance!r}.")


def decision_rates(model, images, batch_size) -> dict[str, float]:
    """Returns for what share of the images each decision of a model with gates runs.

    Args:
        model: built DynamicModel with PerUnitGates.
        images: [n, height, width, channels]; not needed by gates that look at nothing.
        batch_size: images at a time.

    Raises:
        ValueError: if the model is not built, or images are missing or of another shape.
    """
    if not model.chain.built:
        raise ValueError(f"model {model.name!r} is not built; call it on a batch of images first.")
    if not model.decider.data_dependent:
        images = np.zeros((1, *model.image_shape[1:]), np.float32)
    elif images is None or not len(images):
        raise ValueError("data-dependent gates are judged on images, got none; give held-out images.")
    elif np.ndim(images) != 4:
        raise ValueError(
            f"images must be [n, height, width, channels], got shape {np.shape(images)}; put a single one into a list."
        )
    found = evaluate(model, images, batch_size=batch_size)
    return {name: float(np.mean(value)) for name, value in found.decisions.items()}
