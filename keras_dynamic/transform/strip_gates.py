"""Turns a network whose gates have polarised into a smaller, ordinary network."""

import warnings

from keras_dynamic.deciders import ChannelGates
from keras_dynamic.layers import Always, DynamicModel
from keras_dynamic.layers.dynamic_model import dtype_policy_scope
from keras_dynamic.transform.freeze_decisions import check_tolerance, decision_rates, gates_of
from keras_dynamic.transform.prune import check_skips, plain_copy, without_units

_POLARISED = 0.01  # largest share of the images with the other decision


def strip_gates(model, images=None, tolerance=_POLARISED, batch_size=250) -> DynamicModel:
    """Turns channel gates whose decisions are the same for all images into an ordinary, smaller network.

    Filters of groups that are off, units that are off as a whole, and the gates are removed: the rest decides nothing
    and is exported to an ordinary static file. The given model is unchanged.

    Args:
        model: built DynamicModel with deciders.ChannelGates, alone or combined with PerUnitGates.
        images: [n, height, width, channels], on which data-dependent gates must have polarised; data-independent gates
            need none.
        tolerance: largest share of the images with the other decision, in [0, 0.5).
        batch_size: images at a time.

    Returns:
        DynamicModel in which everything runs, built, with weights of its own; its logits are those of the model for
        all images but those with the other decision.

    Raises:
        ValueError: if the decider is another, the model is not built, tolerance is out of range, images are missing or
            of another shape, a gate has not polarised (the error lists these with their rates),
            a unit that is off as a whole is no Residual, or one whose groups are decided no Residual or
            Concatenated.

    Warns:
        UserWarning: if no gate is closed, so that the network is as large as before.

    Source: Herrmann et al., sections 1 and 3.1 (pruning by data-independent gates).
    """
    decider = getattr(model, "decider", model)
    if isinstance(decider, Always):
        raise ValueError(
            f"strip_gates takes a model with ChannelGates, got {model.name!r}, in which nothing is decided: it is an "
            "ordinary network already."
        )
    gates = gates_of(decider)
    if not any(isinstance(each, ChannelGates) for each in gates) or len(gates) < len(decider.members()):
        raise ValueError(
            f"strip_gates takes a built model with ChannelGates, got {type(decider).__name__}; gate its channel groups."
        )
    runs = _polarised(model, images, tolerance, batch_size)
    if all(runs.values()):
        warnings.warn(
            f"all {len(runs)} gates of {model.name!r} run, so that nothing becomes smaller; train it longer, or with a "
            "larger activation_weight or gradient_scale: what counts is the activation without noise, as validation "
            "and evaluation.evaluate show it.",
            stacklevel=2,
        )
    dead = {unit.name for unit in model.chain.units if not runs.get(unit.name, True)}
    check_skips(model.chain, dead)
    chain = plain_copy(model).chain
    specs = {unit.name: spec for unit, spec in zip(chain.units, chain.input_specs, strict=True)}
    left = without_units(chain, dead)
    units = [_pruned(unit, specs[unit.name], runs, model.decider.decisions_of) for unit in left]
    smaller = DynamicModel(chain.replace(units=units), name=model.name, dtype=model.dtype_policy)
    smaller.build(model.image_shape)
    return smaller


def _pruned(unit, spec, runs, decisions_of):
    """Returns a unit without the groups that do not run."""
    _, *names = decisions_of(unit)
    if not any(name in runs for name in names):
        return unit
    if not getattr(unit, "replaceable", False):
        raise ValueError(
            f"what is left of a unit without some of its groups is known for Residual and Concatenated, got "
            f"{unit.name!r} of type {type(unit).__name__}; name it in the gates' `always`, or make it one of these."
        )
    with dtype_policy_scope(unit.dtype_policy):
        left = unit.body.pruned_layers(spec, [runs.get(name, True) for name in names])
        return unit.with_body(left)


def _polarised(model, images, tolerance, batch_size):
    """Returns {decision name: whether it is 1}, or raises a ValueError if a gate has not polarised."""
    check_tolerance(tolerance)
    rates = decision_rates(model, images, batch_size)
    far = {name: rate for name, rate in rates.items() if min(rate, 1 - rate) > tolerance}
    if far:
        listed = ", ".join(f"{name} runs for {rate:.1%}" for name, rate in far.items())
        raise ValueError(
            f"gates must run for all images or none, to {tolerance:.0%}, got {len(far)} of {len(rates)} that do not: "
            f"{listed}; train longer with the batch activation loss, raise tolerance, or export the network with its "
            "gates, those that have polarised frozen by transform.freeze_decisions."
        )
    return {name: rate > 0.5 for name, rate in rates.items()}
