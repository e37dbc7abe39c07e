"""Gates that have settled, made real: a smaller, ordinary network."""

import numpy as np

from keras_dynamic.deciders import ChannelGates
from keras_dynamic.layers import Chain, DynamicModel, Residual
from keras_dynamic.training.evaluate import evaluate
from keras_dynamic.training.plain_copy import plain_copy
from keras_dynamic.training.prune import check_skips, without_units

_POLARISED = 0.01  # share of the images that may decide otherwise


def materialize(model, images=None, tolerance=_POLARISED, batch_size=250) -> DynamicModel:
    """Turns channel gates whose decisions are the same for all images into an ordinary, smaller network.

    Filters of groups that are off are gone, and units that are off as a whole, and the gates: what is left decides
    nothing and is exported to an ordinary static file. The given model stays as it was.

    Args:
        model: built DynamicModel with deciders.ChannelGates.
        images: [n, height, width, channels], on which data-dependent gates must have polarised; data-independent gates
            need none.
        tolerance: share of the images that may decide otherwise than the rest, in [0, 0.5).
        batch_size: images at a time.

    Returns:
        DynamicModel in which everything runs, built, with weights of its own; for images whose decisions are those of
        the rest its logits are those of the model.

    Raises:
        ValueError: if the decider is another, the model is not built, tolerance is out of range, images are missing, or
            a gate has not polarised (the error names those that have not, and how far they are), or a unit that is off
            as a whole is no Residual.

    Source: Herrmann et al., sections 1 and 3.1 (pruning by data-independent gates).
    """
    if not isinstance(getattr(model, "decider", None), ChannelGates):
        kind = type(getattr(model, "decider", model)).__name__
        raise ValueError(f"materialize takes a built model with ChannelGates, got {kind}; gate its channel groups.")
    if not model.chain.built:
        raise ValueError(f"model {model.name!r} is not built; call it on a batch of images first.")
    if not 0 <= tolerance < 0.5:
        raise ValueError(f"tolerance must be a share of the images under one half, at least 0, got {tolerance!r}.")
    runs = _settled(model, images, tolerance, batch_size)
    dead = {unit.name for unit in model.chain.units if not runs.get(unit.name, True)}
    check_skips(model.chain, dead)
    chain = plain_copy(model).chain
    specs = {unit.name: spec for unit, spec in zip(chain.units, chain.input_specs, strict=True)}
    left = without_units(chain, dead)
    units = [_slimmed(unit, specs[unit.name], runs, model.decider.decision_of) for unit in left]
    smaller = DynamicModel(Chain(chain.stem, units, chain.head, chain.exits, name=chain.name), name=model.name)
    smaller.build(model.image_shape)
    return smaller


def _slimmed(unit, spec, runs, decision_of):
    """Returns the unit without the groups that do not run."""
    names = [decision_of(name) for name in getattr(unit, "group_names", ())]
    if not any(name in runs for name in names):
        return unit
    left = unit.body.kept(spec, [runs.get(name, True) for name in names])
    return Residual(left, unit.shortcut, unit.activation, unit.mask, name=unit.name)


def _settled(model, images, tolerance, batch_size):
    """Returns {decision name: whether it runs}."""
    decider = model.decider
    if not decider.data_dependent:
        images = np.zeros((1, *model.image_shape[1:]), np.float32)
    elif images is None or not len(images):
        raise ValueError("data-dependent gates are judged on images, got none; give held-out images.")
    found = evaluate(model, images, np.zeros(len(images), int), batch_size=batch_size)
    rates = {name: float(np.mean(value)) for name, value in found.decisions.items()}
    far = {name: rate for name, rate in rates.items() if min(rate, 1 - rate) > tolerance}
    if far:
        listed = ", ".join(f"{name} runs for {rate:.1%}" for name, rate in far.items())
        raise ValueError(
            f"gates must run for all images or none, to {tolerance:.0%}, got {len(far)} of {len(rates)} that do not: "
            f"{listed}; train longer with the batch activation loss, or export the network with its gates."
        )
    return {name: rate > 0.5 for name, rate in rates.items()}
