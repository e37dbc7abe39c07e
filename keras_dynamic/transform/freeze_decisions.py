"""Replaces decisions that are the same for nearly all images by constants."""

import numbers
import warnings

import keras
import numpy as np

from keras_dynamic.data import as_arrays
from keras_dynamic.deciders import CombinedDecider, PerUnitGates
from keras_dynamic.evaluation.evaluate import evaluate
from keras_dynamic.layers import Decider, DynamicModel
from keras_dynamic.transform.prune import check_nothing_nested, plain_copy


def freeze_decisions(model, images, tolerance=0.02, batch_size=250) -> DynamicModel:
    """Makes decisions that are the same for nearly all images constant.

    A gate costs time for every image and saves none where nearly all images have the same decision. A frozen decision
    needs no gate and, exported, no IF; parts that are off for all are not in the file, unless the exporter folds other
    groups of the unit. Predictions for the few other images may change: evaluate the result.

        frozen = kd.transform.freeze_decisions(model, images.x_heldout, tolerance=0.04)
        print(frozen.decider.frozen)

    Args:
        model: built DynamicModel or method with deciders.PerUnitGates or ChannelGates, alone or in a CombinedDecider;
            only their decisions are frozen. The model is unchanged.
        images: held-out images, [n, ...], or a data set of batches; may be None for data-independent gates.
        tolerance: largest share of the images with the other decision, in [0, 0.5); for a group of channels, of the
            images that run its unit.
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
    check_nothing_nested(model, "freeze")
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
    """Returns those members of a decider that are PerUnitGates; [] if it is no decider."""
    members = decider.members() if isinstance(decider, Decider) else ()
    return [each for each in members if isinstance(each, PerUnitGates)]


def _frozen(decider, further):
    """Returns a new, unbound decider whose gates have their own of these decisions frozen."""
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
    """Returns the rate of each decision: the share of the images that reach it for which it is 1.

    A group's decision is reached by the images that run its unit, any other by all; one that none reaches has 0.
    Arguments are those of freeze_decisions.
    """
    if not model.chain.built:
        raise ValueError(f"model {model.name!r} is not built; call it on a batch of images first.")
    images, _ = as_arrays(images)
    if not any(getattr(each, "data_dependent", True) for each in model.decider.members()):
        images = np.zeros((1, *model.image_shape[1:]), np.float32)
    elif images is None or not len(images):
        raise ValueError("data-dependent gates are evaluated on images, got none; give held-out images.")
    elif np.ndim(images) != len(model.image_shape):
        sizes = ", ".join(map(str, model.image_shape[1:]))
        raise ValueError(f"images must be [n, {sizes}], got shape {np.shape(images)}; put a single one into a list.")
    found = evaluate(model, images, batch_size=batch_size)
    shares = {name: float(np.mean(value)) for name, value in found.decisions.items()}
    reached = {name: shares[whole] for name, whole in model.decider.within.items()}
    return {name: share / (reached.get(name, 1.0) or 1.0) for name, share in shares.items()}
