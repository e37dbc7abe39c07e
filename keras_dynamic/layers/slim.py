"""Some groups of a ChannelGroups as ordinary, smaller layers."""

import keras
import numpy as np
from keras import layers

_PER_CHANNEL = (layers.BatchNormalization, layers.DepthwiseConv2D)
_ANY_CHANNELS = (
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ZeroPadding2D,
    layers.AveragePooling2D,
    layers.MaxPooling2D,
    layers.Dropout,
)


def slim(body, x, groups, offset=True):
    """Returns what a body's expand and contract give with these groups of channels alone, as layers without others.

    The results of disjoint sets of groups add up to that of their union if one of them has the offset, as long as what
    `contract` does after its convolution is linear.

    Args:
        body: built ChannelGroups.
        x: spec of the body's input.
        groups: numbers of the groups, forced ones included, at least one, rising.
        offset: whether biases, and the offsets of batch norm, that `contract` adds are there.

    Returns:
        keras.Sequential, built, with weights of its own; for inference.

    Raises:
        ValueError: if a layer is met that cannot be cut, or no group is given.
    """
    if not groups or list(groups) != sorted(set(groups) & set(range(body.groups))):
        raise ValueError(
            f"groups must be some of the {body.groups} groups of {body.name!r}, by number from 0 and rising, got "
            f"{list(groups)}."
        )
    kept = np.concatenate([np.arange(k * body.granularity, (k + 1) * body.granularity) for k in groups])
    parts = _cut(_flat(body.expand), kept, _filters, "expand") + _cut(_flat(body.contract), kept, _inputs, "contract")
    path = keras.Sequential([new for new, _ in parts], name="body")
    path.build(body.grouped_input(x).shape)
    behind = False  # contract's convolution: what comes then adds the offset
    for position, (new, weights) in enumerate(parts):
        behind = behind or (position >= len(_flat(body.expand)) and type(new) is layers.Conv2D)
        new.set_weights(weights if offset or not behind else _without_offset(new, weights))
    return path


def slim_paths(body, x) -> list[keras.Sequential]:
    """Returns paths that add up to what expand and contract give: the forced groups' and one for each other group.

    Args:
        body: built ChannelGroups.
        x: spec of the body's input.

    Returns:
        List of keras.Sequential as slim gives them; the first has the offset.

    Raises:
        ValueError: if groups do not add up because more than batch norm follows `contract`'s convolution, or as slim.
    """
    found = _flat(body.contract)
    behind = [layer.name for layer in found[_place(found) :] if not _adds_up(layer)]
    if behind:
        raise ValueError(
            f"the groups of {body.name!r} must add up, so that each is computed by itself, but with {behind} in "
            "`contract` they do not; behind its convolution have batch norm alone, and the rest behind the unit."
        )
    forced = slim(body, x, list(range(body.forced)))
    return [forced, *(slim(body, x, [k], offset=False) for k in range(body.forced, body.groups))]


def _adds_up(layer):
    linear = type(layer) is layers.Conv2D and layer.activation is keras.activations.linear
    return linear or isinstance(layer, (layers.BatchNormalization, layers.Dropout))


def grouped_layers(body) -> tuple[list, list]:
    """Returns the layers of a body whose work is shared out among the groups, and those that always run whole.

    Args:
        body: ChannelGroups, its parts built.

    Raises:
        ValueError: if the body with some groups off is not what their channels' absence gives.
    """
    _check(body)
    expand, contract = _flat(body.expand), _flat(body.contract)
    place = _place(contract) + 1
    return [*expand, *contract[:place]], contract[place:]


def _check(body):
    """Raises a ValueError if the body with some groups off is not what their channels' absence gives."""
    expand, contract = _flat(body.expand), _flat(body.contract)
    for layer in [*expand, *contract]:
        if not _one_to_one(layer):
            raise ValueError(
                f"layer {layer.name!r} of type {type(layer).__name__} cannot be cut into channel groups; use Conv2D, "
                "DepthwiseConv2D, BatchNormalization, activations, padding and pooling that give each filter or "
                "channel a channel of its own."
            )
    for layer in expand[: _place(expand)]:
        if isinstance(layer, layers.DepthwiseConv2D):
            raise ValueError(
                f"layer {layer.name!r} comes before the convolution that is cut into groups, which would each compute "
                f"it; give it to {body.name!r} as `before`."
            )
    for layer in contract[: _place(contract)]:
        if not _keeps_zeros(layer):
            raise ValueError(
                f"layer {layer.name!r} makes something of the zeros that groups of {body.name!r} give that are off; "
                "put it at the end of `expand`."
            )


def _one_to_one(layer):
    """Whether a layer is known and channels of its output belong to one filter, or channel, each."""
    known = type(layer) is layers.Conv2D or isinstance(layer, (*_PER_CHANNEL, *_ANY_CHANNELS))
    alone = getattr(layer, "groups", 1) == 1 and getattr(layer, "depth_multiplier", 1) == 1
    return known and alone and getattr(layer, "activation", None) is not keras.activations.softmax


def _keeps_zeros(layer):
    """Whether channels of zeros stay zeros."""
    if isinstance(layer, layers.BatchNormalization) or getattr(layer, "use_bias", False):
        return False
    activation = getattr(layer, "activation", None)
    return activation is None or not float(activation(keras.ops.zeros((1, 1)))[0, 0])


def _place(found):
    """Returns the place of the one convolution that is cut."""
    places = [index for index, layer in enumerate(found) if type(layer) is layers.Conv2D]
    if len(places) != 1:
        names = [layer.name for layer in found]
        raise ValueError(
            f"each part of ChannelGroups must have one Conv2D, the one that is cut into groups, got {len(places)} "
            f"in {names}."
        )
    return places[0]


def _flat(layer):
    """Returns the layers of a Sequential, or of Sequentials in it, in order."""
    if isinstance(layer, keras.Sequential):
        return [inner for part in layer.layers for inner in _flat(part)]
    return [layer]


def _cut(found, kept, cut_convolution, part):
    """Returns [(new layer, its weights)]; per-channel layers lose channels on the grouped side of the convolution."""
    place = _place(found)
    grouped_after = cut_convolution is _filters
    parts = []
    for index, layer in enumerate(found):
        config, weights = layer.get_config(), layer.get_weights()
        if index == place:
            config, weights = cut_convolution(layer, config, weights, kept)
        elif isinstance(layer, _PER_CHANNEL) and (index > place) == grouped_after:
            axis = -2 if isinstance(layer, layers.DepthwiseConv2D) else -1
            weights = [np.take(each, kept, axis=-1 if each.ndim == 1 else axis) for each in weights]
        config["name"] = f"{part}_{layer.name}"  # both parts may have a layer of one name
        parts.append((type(layer).from_config(config), weights))
    return parts


def _filters(layer, config, weights, kept):
    return {**config, "filters": len(kept)}, [each[..., kept] for each in weights]


def _inputs(layer, config, weights, kept):
    return config, [weights[0][:, :, kept, :], *weights[1:]]


def _without_offset(layer, weights):
    """Returns the weights with what they add set to 0."""
    zero = ("bias", "beta", "moving_mean")
    return [
        np.zeros_like(each) if variable.name in zero else each
        for variable, each in zip(layer.weights, weights, strict=True)
    ]
