"""Groups the channels inside a network's units."""

import keras
from keras import layers

from keras_dynamic.layers import Always, ChannelGroups, DynamicModel
from keras_dynamic.layers.dynamic_model import as_dynamic, dtype_policy_scope
from keras_dynamic.layers.grouped_body import GroupedBody, check_positive
from keras_dynamic.messages import did_you_mean


def group_channels(network, granularity, forced=1) -> DynamicModel:
    """Returns the network with the channels inside its units in groups; logits stay the same.

    The channels between a block's last two convolutions are grouped, so that a group that is off saves its filters in
    one and its inputs in the other. The layers themselves are used, not copied: give a network that nothing else uses.

        network = kd.zoo.load("resnet32_cifar10_45k")
        network = kd.transform.group_channels(network, {"stage1": 8, "stage2": 16, "stage3": 32})
        model = kd.methods.ActivationGating(network.chain, kd.deciders.ChannelGates(), target=0.5)

    Args:
        network: built DynamicModel in which everything runs, such as models.resnet_cifar; or a functional or sequential
            Keras model, which is copied, see models.from_functional.
        granularity: filters per group, for all units; or {name: filters} of units, or of stages, the first part of
            their names; other units are left as they are.
        forced: groups of each unit that always run.

    Returns:
        DynamicModel, built, in which everything runs. Units that are no Residual or Concatenated around two
        convolutions or more, or are of a class derived from these, are left as they are.

    Raises:
        ValueError: if the network is not built or decides something itself, granularity or forced are no positive ints,
            granularity names an unknown unit or stage, does not divide a unit's filters or is for a unit that
            has groups already, or no unit is left to group.

    Source: Herrmann et al., section 4.2; for dense networks DDI, section 3.1.3.
    """
    network = as_dynamic(network)
    if not isinstance(network, DynamicModel):
        raise ValueError(
            f"network must be a DynamicModel, such as DynamicModel(chain), got {type(network).__name__} "
            f"{getattr(network, 'name', '')!r}; wrap the network in Chain and DynamicModel."
        )
    if not isinstance(network.decider, Always):
        raise ValueError(
            f"network must be one in which everything runs, got {network.name!r} with "
            f"{type(network.decider).__name__}; group the channels first and gate them then."
        )
    if not network.chain.built:
        raise ValueError(f"network {network.name!r} is not built; call it on a batch of images first.")
    chain = network.chain
    check_positive("forced", forced, "groups")
    _check_granularity(granularity, chain)
    units = []
    for unit, spec in zip(chain.units, chain.input_specs, strict=True):
        filters = value_of_unit(granularity, unit.name)
        if filters is not None and isinstance(getattr(unit, "body", None), GroupedBody):
            raise ValueError(
                f"unit {unit.name!r} has groups already, {unit.body.described}; give a network without "
                "groups, loaded or built anew."
            )
        parts = convolutions_of(unit) if filters is not None else None
        if parts is None:
            units.append(unit)
            continue
        before, expand, contract = parts
        with dtype_policy_scope(unit.dtype_policy):
            body = ChannelGroups(expand, contract, filters, forced, before=before or None, name=f"{unit.name}_body")
            units.append(unit.with_body(body))
        units[-1].build(spec.shape)
    grouped = DynamicModel(chain.replace(units=units), name=network.name, dtype=network.dtype_policy)
    grouped.build(network.image_shape)
    if not grouped.chain.group_names:
        raise ValueError(
            f"no unit of {network.name!r} has groups that could be switched with granularity {granularity!r} and "
            f"{forced} forced; take fewer filters per group, or fewer forced groups."
        )
    return grouped


def _check_granularity(granularity, chain):
    if not isinstance(granularity, dict):
        check_positive("granularity", granularity, "filters per group")
        return
    names = [unit.name for unit in chain.units]
    stages = list(dict.fromkeys(name.split("_")[0] for name in names))
    for name, filters in granularity.items():
        if name not in (*stages, *names):
            raise ValueError(
                f"granularity names {name!r}, which is neither a unit nor a stage"
                f"{did_you_mean(name, [*stages, *names])}; units are {names}."
            )
        check_positive(f"granularity of {name!r}", filters, "filters per group")


def value_of_unit(values, name):
    """Returns the value for a unit: the same for all, or of a dictionary its own or its stage's; None for none."""
    if not isinstance(values, dict):
        return values
    return values.get(name, values.get(name.split("_")[0]))


def convolutions_of(unit):
    """Returns the layers before a block's last but one convolution, those before its last, and the rest; or None."""
    sequence = getattr(unit, "replaceable", False) and isinstance(unit.body, keras.Sequential)
    found = unit.body.layers if sequence else []
    places = [index for index, layer in enumerate(found) if type(layer) is layers.Conv2D]
    if len(places) < 2:
        return None
    last_but_one, last = (_with_padding(found, place) for place in places[-2:])
    return found[:last_but_one], found[last_but_one:last], found[last:]


def _with_padding(found, place):
    """Returns the index of a convolution, or of the padding before it."""
    return place - 1 if place and isinstance(found[place - 1], layers.ZeroPadding2D) else place
