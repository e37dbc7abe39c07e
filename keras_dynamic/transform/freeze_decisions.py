"""Replaces decisions that nearly all images share by constants."""

import numbers
import warnings

import keras
import numpy as np

from keras_dynamic.deciders import CombinedDecider, PerUnitGates
from keras_dynamic.evaluation.evaluate import evaluate
from keras_dynamic.layers import Decider, DynamicModel
from keras_dynamic.transform.prune import check_nothing_nested, plain_copy


def freeze_decisions(model, images, tolerance=0.02, batch_size=250) -> DynamicModel:
    """Makes decisions that nearly all images share the same for all of them.

    A gate costs time for every image, and where it says the same of nearly all it saves none. What is frozen needs
    no gate, in a file no IF, and what is off for all is not in it, unless the exporter folds other groups of the unit.
    Images that would have decided otherwise may be answered otherwise: evaluate the result.

        frozen = kd.transform.freeze_decisions(model, images.x_heldout, tolerance=0.04)
        print(frozen.decider.frozen)

    Args:
        model: built DynamicModel or method with deciders.PerUnitGates or ChannelGates, or a CombinedDecider of
            them, of whose decisions alone any are frozen; it stays as it is.
        images: [n, height, width, channels], held-out images; None will do for gates that look at nothing.
        tolerance: share of the images that may decide otherwise than the rest, in [0, 0.5); of a group of channels,
            of the images that run its unit.
        batch_size: images at a time.

    Returns:
        DynamicModel, built, with weights of its own, whose gates have the further decisions in `frozen`; it can be
        trained on, exported, and frozen again.

    Raises:
        ValueError: if the decider is another, the model is not built or has networks inside its units, tolerance is out
            of range, or images are missing or of another shape.

    Warns:
        UserWarning: if there is nothing to freeze.
    """
    decider = getattr(model, "decider", model)
    own = {name for gates in gates_of(decider) for name in gates.names}
    if not gates_of(decider):
        raise ValueError(
            f"freeze_decisions takes a model with PerUnitGates or ChannelGates, got {type(decider).__name__}."
        )
    check_nothing_nested(model, "freeze_decisions")
    check_tolerance(tolerance)
    rates = {name: rate for name, rate in decision_rates(model, images, batch_size).items() if name in own}
    further = {name: rate > 0.5 for name, rate in rates.items() if min(rate, 1 - rate) <= tolerance}
    if set(further) <= set(decider.constants):
        warnings.warn(
            f"none of the {len(rates)} decisions of {model.name!r} is the same for all images but {tolerance:.0%}; "
            "raise tolerance.",
            stacklevel=2,
        )
    copy = plain_copy(model)
    frozen = DynamicModel(copy.chain, _frozen(copy.decider, further), name=model.name, dtype=model.dtype_policy)
    frozen.build(model.image_shape)
    for new, old in zip(frozen.decider.members(), copy.decider.members(), strict=True):
        if isinstance(new, PerUnitGates):
            for name, gate in new.gates.items():
                gate.set_weights(old.gates[name].get_weights())
        else:
            new.set_weights(old.get_weights())
    return frozen


def gates_of(decider) -> list[PerUnitGates]:
    """Returns those members of a decider that are PerUnitGates; [] of what is no decider."""
    members = decider.members() if isinstance(decider, Decider) else ()
    return [each for each in members if isinstance(each, PerUnitGates)]


def _frozen(decider, further):
    """Returns a new decider, not bound, that has those of these decisions frozen that gates of it make."""
    config = decider.get_config()
    if isinstance(decider, CombinedDecider):
        config["deciders"] = [keras.saving.serialize_keras_object(_frozen(each, further)) for each in decider.deciders]
    if isinstance(decider, PerUnitGates):
        own = {name: run for name, run in further.items() if name in decider.names}
        config["frozen"] = {**decider.frozen, **own}
    return type(decider).from_config(config)


def check_tolerance(tolerance):
    """Raises a ValueError if tolerance is no share of the images in [0, 0.5)."""
    if not isinstance(tolerance, numbers.Real) or not 0 <= float(tolerance) < 0.5:
        raise ValueError(f"tolerance must be a share of the images under one half, at least 0, got {tolerance!r}.")


def decision_rates(model, images, batch_size) -> dict[str, float]:
    """Returns for what share of the images that reach it each decision of a model with gates is 1.

    One on a group is reached by the images that run its unit, any other by all; one that none reaches has 0.

    Args:
        model: built DynamicModel with PerUnitGates, or several deciders.
        images: [n, height, width, channels]; not needed by gates that look at nothing.
        batch_size: images at a time.

    Raises:
        ValueError: if the model is not built, or images are missing or of another shape.
    """
    if not model.chain.built:
        raise ValueError(f"model {model.name!r} is not built; call it on a batch of images first.")
    if not any(getattr(each, "data_dependent", True) for each in model.decider.members()):
        images = np.zeros((1, *model.image_shape[1:]), np.float32)
    elif images is None or not len(images):
        raise ValueError("data-dependent gates are judged on images, got none; give held-out images.")
    elif np.ndim(images) != 4:
        raise ValueError(
            f"images must be [n, height, width, channels], got shape {np.shape(images)}; put a single one into a list."
        )
    found = evaluate(model, images, batch_size=batch_size)
    shares = {name: float(np.mean(value)) for name, value in found.decisions.items()}
    reached = {name: shares[whole] for name, whole in model.decider.within.items()}
    return {name: share / (reached.get(name, 1.0) or 1.0) for name, share in shares.items()}
