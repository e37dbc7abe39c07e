"""Ordinary, smaller layers that compute some channel groups of a larger one."""

import keras
import numpy as np
from keras import layers, ops

from keras_dynamic.cost import output_spec, register
from keras_dynamic.layers.saved_arguments import SavedArguments


@keras.saving.register_keras_serializable("keras_dynamic")
class SelectChannels(SavedArguments):
    """Gives channels of its input in a given order, and channels of zeros.

    transform.strip_gates puts it in place of masks on a unit's channels; single connections read and write through it.

    Args:
        channels: for each channel of the output the number of the input's channel, from 0, or -1 for zeros.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if channels are no list of ints, or, when it is built, the input has no channel of such a number.
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        numbers = np.asarray(channels)
        if numbers.ndim != 1 or not numbers.size or numbers.dtype.kind not in "iu":
            raise ValueError(f"channels must be a list of one int or more, got {channels!r}.")
        self.channels = tuple(numbers.tolist())

    def build(self, x_shape):
        """Checks that the input has the channels to select."""
        wrong = [number for number in self.channels if not -1 <= number < x_shape[-1]]
        if wrong:
            raise ValueError(f"channels must lie in 0 to {x_shape[-1] - 1}, or be -1 for zeros, got {wrong}.")

    def call(self, x):
        """Returns the channels, [batch, height, width, len(channels)], of x [batch, height, width, channels]."""
        numbers = np.array(self.channels, "int32")  # TensorFlow Lite Micro gathers by no others
        if (numbers < 0).any():
            x = ops.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, 1]])
            numbers = np.where(numbers < 0, x.shape[-1] - 1, numbers)
        return ops.take(x, numbers, axis=-1)

    def compute_output_spec(self, x):
        """Returns the spec of the output."""
        return keras.KerasTensor((*x.shape[:-1], len(self.channels)), dtype=self.compute_dtype)


@register(SelectChannels)
def _select_channels_cost(layer, inputs):
    return 0


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


def slice_groups(body, x, groups, offset=True, inputs=None, outputs=None):
    """Returns what a body's expand and contract give with these groups of channels alone, as layers without others.

    The results of disjoint sets of groups add up to that of their union if one of them has the offset, as long as what
    `contract` does after its convolution is linear.

    Args:
        body: built ChannelGroups.
        x: spec of the body's input.
        groups: numbers of the groups, forced ones included, at least one, rising.
        offset: whether biases, and the offsets of batch norm, that `contract` adds are there.
        inputs: numbers of the groups of input channels, likewise; None for all channels.
        outputs: numbers of the groups of output channels, whose other channels are zeros; None for all channels.

    Returns:
        keras.Sequential, built, with weights of its own; for inference.

    Raises:
        ValueError: if a layer is met that cannot be cut, or no group is given.
    """
    read, kept, given = (
        _channels(body, chosen, number, granularity)
        for chosen, number, granularity in zip(
            (inputs, groups, outputs),
            body.counts,
            (body.input_granularity, body.granularity, body.output_granularity),
            strict=True,
        )
    )
    expand, contract = (
        _cut(_flat(body.expand), read, kept, "expand"),
        _cut(_flat(body.contract), kept, given, "contract"),
    )
    ends = output_spec(body, x).shape[-1]
    before = [] if read is None else [SelectChannels(read)]
    after = [] if given is None else [SelectChannels(inverse_index(given, ends))]
    path = keras.Sequential([*before, *(new for new, _ in [*expand, *contract]), *after], name="body")
    path.build(body.grouped_input(x).shape)
    added = False  # contract's convolution and what follows add the offset
    for position, (new, weights) in enumerate([*expand, *contract]):
        added = added or (position >= len(expand) and type(new) is layers.Conv2D)
        new.set_weights(weights if offset or not added else _without_offset(new, weights))
    return path


def _channels(body, groups, number, granularity):
    """Returns the numbers of the channels in these groups; None for None, all channels."""
    if groups is None:
        return None
    if not groups or list(groups) != sorted(set(groups) & set(range(number))):
        raise ValueError(
            f"groups must be some of the {number} groups of {body.name!r}, by number from 0 and rising, got "
            f"{list(groups)}."
        )
    return np.concatenate([np.arange(k * granularity, (k + 1) * granularity) for k in groups])


def inverse_index(given, channels):
    """Returns, for each of the channels, its place among the given ones, -1 if it is none of them."""
    found = np.full(channels, -1)
    found[given] = np.arange(len(given))
    return found


def sliced_paths(body, x, constant=None) -> list[keras.Sequential]:
    """Returns paths that add up to what expand and contract give: the forced groups' and one for each other group.

    Args:
        body: built ChannelGroups.
        x: spec of the body's input.
        constant: for each group that is not forced True if it always runs, False if it never does, else
            None; None for no such group.

    Returns:
        List of keras.Sequential as slice_groups returns them; the first has the offset.

    Raises:
        ValueError: if groups do not add up because more than batch norm follows `contract`'s convolution, or as slim.
    """
    free = range(body.forced, body.groups)
    known = dict(zip(free, constant or [None] * len(free), strict=True))
    found = _flat(body.contract)
    later = [layer.name for layer in found[_place(found) :] if not _adds_up(layer)]
    if later and None in known.values():
        raise ValueError(
            f"the groups of {body.name!r} must add up, so that each is computed by itself, but with {later} in "
            "`contract` they do not; use batch norm only after its convolution, and put the rest after the unit."
        )
    always = slice_groups(body, x, [k for k in range(body.groups) if known.get(k, True)])
    return [always, *(slice_groups(body, x, [k], offset=False) for k in free if known[k] is None)]


def _adds_up(layer):
    linear = type(layer) is layers.Conv2D and layer.activation is keras.activations.linear
    return linear or isinstance(layer, (layers.BatchNormalization, layers.Dropout))


def grouped_layers(body) -> tuple[list, list]:
    """Returns the layers of a ChannelGroups that are split into groups, and those that always run whole."""
    expand, contract = _flat(body.expand), _flat(body.contract)
    place = _place(contract) + 1
    return [*expand, *contract[:place]], contract[place:]


def check_parts(body):
    """Raises a ValueError unless switching groups off equals leaving their channels out.

    It tries activations out, which a backend that is tracing would not do.

    Args:
        body: ChannelGroups, not built yet.
    """
    expand, contract = _flat(body.expand), _flat(body.contract)
    for layer in [*expand, *contract]:
        if not _one_to_one(layer):
            mixing = ", whose activation of one channel depends on others," if _mixes(layer) else ""
            raise ValueError(
                f"layer {layer.name!r} of type {type(layer).__name__}{mixing} cannot be cut into channel groups; use "
                "Conv2D, DepthwiseConv2D, BatchNormalization over the last axis, activations, padding and pooling that "
                "give each filter or channel a channel of its own."
            )
    for layer in expand[: _place(expand)] if body.input_granularity else ():
        if not _keeps_zeros(layer):
            raise ValueError(
                f"layer {layer.name!r} changes the zeros of input groups of {body.name!r} that are off; give it as "
                "`before`."
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
                f"layer {layer.name!r} changes the zeros of groups of {body.name!r} that are off; "
                "put it at the end of `expand`."
            )


def _one_to_one(layer):
    """Whether a layer is known and channels of its output belong to one filter, or channel, each."""
    known = type(layer) is layers.Conv2D or isinstance(layer, (*_PER_CHANNEL, *_ANY_CHANNELS))
    alone = getattr(layer, "groups", 1) == 1 and getattr(layer, "depth_multiplier", 1) == 1
    per_channel = not isinstance(layer, layers.BatchNormalization) or layer.axis in (-1, 3)
    return known and alone and per_channel and not _mixes(layer)


def _activation(layer):
    """Returns what a layer does to each number at last; None if nothing."""
    if isinstance(layer, (layers.ReLU, layers.LeakyReLU)):
        return layer.call
    return getattr(layer, "activation", None)


def _mixes(layer):
    """Whether channels of a layer's output depend on others: whether they change if the others are not there."""
    activation = _activation(layer)
    if activation is None:
        return False
    if isinstance(activation, layers.Layer):
        return not isinstance(activation, (layers.ReLU, layers.LeakyReLU))  # others may have weights of their own
    x = np.linspace(-2.0, 2.0, 8, dtype=np.float32).reshape(1, 1, 2, 4)
    whole, part = (_values(activation, each) for each in (x, x[..., :2]))
    return whole.shape != x.shape or not np.allclose(whole[..., :2], part)


def _keeps_zeros(layer):
    """Whether channels of zeros stay zeros."""
    if isinstance(layer, layers.BatchNormalization) or getattr(layer, "use_bias", False):
        return False
    activation = _activation(layer)
    return activation is None or not _values(activation, np.zeros((1, 1, 1, 1), np.float32)).any()


def _values(function, x):
    """Returns what a function makes of an array, as an array."""
    return keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(x)))


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


def _cut(found, read, given, part):
    """Returns [(new layer, its weights)] of the layers around one convolution.

    Args:
        found: layers.
        read: numbers of the channels that are left on this side of the convolution; None for all.
        given: of those after it, likewise.
        part: before the names of layers.
    """
    place = _place(found)
    parts = []
    for index, layer in enumerate(found):
        config, weights = layer.get_config(), layer.get_weights()
        side = given if index > place else read
        if index == place:
            weights = [_taken(_taken(weights[0], read, 2), given, 3), *(_taken(each, given, 0) for each in weights[1:])]
            config["filters"] = weights[0].shape[-1]
        elif isinstance(layer, _PER_CHANNEL):
            axis = -2 if isinstance(layer, layers.DepthwiseConv2D) else -1
            weights = [_taken(each, side, -1 if each.ndim == 1 else axis) for each in weights]
        config["name"] = f"{part}_{layer.name}"  # both parts may have a layer of one name
        parts.append((type(layer).from_config(config), weights))
    return parts


def _taken(values, numbers, axis):
    return values if numbers is None else np.take(values, numbers, axis=axis)


def _without_offset(layer, weights):
    """Returns the weights with what they add set to 0."""
    zero = ("bias", "beta", "moving_mean")
    return [
        np.zeros_like(each) if variable.name in zero else each
        for variable, each in zip(layer.weights, weights, strict=True)
    ]
