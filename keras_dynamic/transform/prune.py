"""Removes units that no image runs."""

import keras

from keras_dynamic.data import as_arrays
from keras_dynamic.evaluation.evaluate import evaluate
from keras_dynamic.layers import Always, DynamicModel, Residual
from keras_dynamic.layers.dynamic_model import dtype_policy_scope, saved_copy


def plain_copy(model) -> DynamicModel:
    """Returns a copy of a model's chain and decider as a DynamicModel.

    Args:
        model: built DynamicModel or method; it must be one that can be saved and loaded.

    Raises:
        TypeError: as saved_copy.
    """
    plain = DynamicModel(model.chain, model.decider, name=model.name, dtype=model.dtype_policy)
    plain.build(model.image_shape)
    return saved_copy(plain)


def prune_dead_units(model, images, batch_size=250) -> DynamicModel:
    """Returns the network without the units that the decider runs for none of these images.

    A dead unit is replaced by its skip connection: nothing where that is the identity, else a layer of the unit's name
    that always runs (the shortcut that changes the size, an activation). An exit after a unit that is gone moves to the
    unit before. Logits are the same for every image for which the model skips these units; their MACs, parameters and
    gates are gone.

    Args:
        model: built DynamicModel or method that can be saved and loaded; it is unchanged.
        images: held-out images, [n, ...], or a data set of batches; no labels are needed.
        batch_size: images at a time.

    Returns:
        DynamicModel with weights of its own, without what a method adds for training. If no unit is dead it is a copy;
        if all are, its decider is Always.

    Raises:
        ValueError: if the model is no built DynamicModel, a unit holds a dynamic network, there are no images, a dead
            unit is no Residual, or the decider cannot decide the rest alone (Decider.restricted_to).

    Source: SGAD, section 4.1, discussion, point 3 (dead blocks).
    """
    images, _ = as_arrays(images)
    _check(model, images)
    decisions = evaluate(model, images, batch_size=batch_size).decisions
    dead = {unit.name for unit in model.chain.units if unit.name in decisions and not decisions[unit.name].any()}
    check_skips(model.chain, dead)
    copy = plain_copy(model)
    if not dead:
        return copy
    units = without_units(copy.chain, dead)
    chain = copy.chain.replace(units=units)
    chain.build(model.image_shape)
    decider = model.decider.restricted_to(chain) if len(dead) < len(decisions) else Always()
    pruned = DynamicModel(chain, decider, name=model.name, dtype=model.dtype_policy)
    pruned.build(model.image_shape)
    return pruned


def _check(model, images):
    """Raises a ValueError if the model or the images are not what prune_dead_units takes."""
    if not isinstance(model, DynamicModel):
        raise ValueError(
            f"prune_dead_units takes a DynamicModel, got {type(model).__name__}; wrap the network in Chain and "
            "DynamicModel."
        )
    if not model.chain.built:
        raise ValueError(f"model {model.name!r} is not built; call it on a batch of images first.")
    check_nothing_nested(model, "prune")
    if len(images) == 0:
        raise ValueError(
            "images must be held-out images, [n, ...], got none; give some hundreds, as on none every unit is dead."
        )


def check_nothing_nested(model, verb):
    """Raises a ValueError if units hold dynamic networks; `verb` is what to do with these, for the error."""
    nested = [unit.name for unit in model.chain.units if getattr(unit, "nested", False)]
    if nested:
        raise ValueError(
            f"units {nested} of model {model.name!r} hold dynamic networks, as in a cascade; {verb} these before they "
            "are put together."
        )


def _skips_as_residual(unit):
    """Returns whether a skipped unit returns activation(shortcut(x)), whatever else a subclass changes."""
    return isinstance(unit, Residual) and all(
        getattr(type(unit), name) is getattr(Residual, name) for name in ("otherwise", "combine", "skip")
    )


def check_skips(chain, dead):
    """Raises a ValueError if a unit named in `dead` is not skipped as a Residual is."""
    for unit in chain.units:
        if unit.name in dead and not _skips_as_residual(unit):
            raise ValueError(
                f"what is left of a dead unit is known for Residual, got {unit.name!r} of type {type(unit).__name__}; "
                "name it in the decider's `always`, or make it a Residual."
            )


def without_units(chain, dead):
    """Returns the chain's units, those named in `dead` replaced by their skip connection; moves exits after them.

    Args:
        chain: built Chain, which nothing else uses.
        dead: names of units that have passed check_skips.
    """
    remaining: list[keras.layers.Layer] = []
    for unit in chain.units:
        if unit.name not in dead:
            remaining.append(unit)
            continue
        exits = [exit_ for exit_ in chain.exits if exit_.after == unit.name]
        left = _skip_layers(unit, remaining[-1] if remaining else chain.stem)
        if left:
            with dtype_policy_scope(unit.dtype_policy):
                remaining.append(keras.Sequential(left, name=unit.name))
        elif exits and not remaining:
            remaining.append(keras.layers.Identity(name=unit.name))  # there is no earlier unit to move the exits to
        else:
            for exit_ in exits:
                exit_.after = remaining[-1].name
    return remaining


def _skip_layers(unit, before):
    """Returns the layers that replace a skipped Residual, given the layer before it."""
    shortcut = [] if unit.shortcut is None else [unit.shortcut]
    if unit.activation is keras.activations.linear:
        return shortcut
    if not shortcut and unit.activation is keras.activations.relu and _ends_in_relu(before):
        return []
    return [*shortcut, keras.layers.Activation(unit.activation, dtype=unit.dtype_policy)]


def _ends_in_relu(layer):
    """Returns whether a layer's output is known to be non-negative."""
    if isinstance(layer, keras.Sequential):
        return _ends_in_relu(layer.layers[-1])
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope
    kinds = (Residual, keras.layers.Activation, keras.layers.Conv2D, keras.layers.Dense)
    return type(layer) in kinds and layer.activation is keras.activations.relu
