"""Multi-scale dense networks, with an exit after each block."""

import math
from typing import NamedTuple

import keras
from keras import layers, ops

from keras_dynamic.cost import Node, output_spec, register, tree
from keras_dynamic.layers import Chain, DynamicModel, Exit, LeafHead, LeafPart
from keras_dynamic.messages import check_fraction, did_you_mean, is_count
from keras_dynamic.models.resnet import convolution, normalize_pixels

STEP_MODES = ("even", "lin_grow")
PRUNE = ("max", "min")


class PlannedLayer(NamedTuple):
    """A dense layer in the plan of a network."""

    block: int
    finest: int  # number of the finest scale of its output
    transition: int | None  # channels, before growth factors, after the transition that follows; None for no transition


def block_sizes(blocks, base, step, step_mode) -> list[int]:
    """Returns the number of layers of each block, for arguments of msdnet."""
    if step_mode not in STEP_MODES:
        raise ValueError(
            f"step_mode must be one of {STEP_MODES}, got {step_mode!r}{did_you_mean(step_mode, STEP_MODES)}."
        )
    return [base, *(step if step_mode == "even" else step * block + 1 for block in range(1, blocks))]


def scales_after(layer, layers, scales, prune) -> int:
    """Returns how many scales, the coarsest ones, a layer's output has.

    The last exit reads the coarsest scale, the layer before it the two coarsest, and so on: no output has more than
    that. 'max' also drops the finest after each 1 / scales of the layers.

    Args:
        layer: number of the layer, 0 for the stem.
        layers: of the whole network, without the stem.
        scales: of the whole network.
        prune: 'max' or 'min'.
    """
    dropped = _dropped(layer, layers, scales) if prune == "max" else 0
    return min(scales - dropped, layers - layer + 1)


def _dropped(layer, layers, scales):
    return max(0, layer - 1) // math.ceil(layers / scales)


def _reduces(layer, layers, scales, prune):
    if prune == "min":
        return layer in (layers // 3, 2 * layers // 3)
    return _dropped(layer, layers, scales) > _dropped(layer - 1, layers, scales)


def plan(sizes, scales, channels, growth, prune="max", reduction=0.5) -> list[PlannedLayer]:
    """Returns the plan of all dense layers, in order.

    Args:
        sizes: layers of each block.
        scales: of the whole network.
        channels: of scale 1 in the stem, before its growth factor.
        growth: channels that a layer adds, before growth factors.
        prune: 'max' or 'min'.
        reduction: channels after a transition over those before it, 0 for no transitions.

    Raises:
        ValueError: if prune is unknown, or a transition would leave no channels.

    Source: MSDNet, section 4, "network reduction".
    """
    if prune not in PRUNE:
        raise ValueError(f"prune must be one of {PRUNE}, got {prune!r}{did_you_mean(prune, PRUNE)}.")
    planned, layers = [], sum(sizes)
    blocks = [block for block, size in enumerate(sizes, 1) for _ in range(size)]
    for layer, block in enumerate(blocks, 1):
        channels, left = channels + growth, None
        if reduction and _reduces(layer, layers, scales, prune):
            left = math.floor(reduction * channels)
            if not left:
                raise ValueError(
                    f"reduction={reduction!r} leaves none of the {channels} channels that channels and growth make by "
                    f"layer {layer}, where a transition is; take a larger reduction, or 0 for no transitions."
                )
            channels = left
        planned.append(PlannedLayer(block, scales - scales_after(layer, layers, scales, prune) + 1, left))
    return planned


def scale_name(scale) -> str:
    """Returns the key of a scale's feature maps, 'scale1' for scale 1."""
    return f"scale{scale}"


def activated(filters, kernel, stride=1) -> list:
    """Returns convolution, batch norm and ReLU; arguments as resnet.convolution."""
    return [*convolution(filters, kernel, stride), layers.ReLU()]


@keras.saving.register_keras_serializable("keras_dynamic")
class MultiScaleStem(keras.layers.Layer):
    """The first layer of a multi-scale dense network: each scale is computed from the finer one, at half its size.

    Args:
        filters: channels of each scale, the finest first.
        image_size: 32 (the finest scale has the image's size) or 224 (7x7 convolution with stride 2 and 3x3 maximum
            with stride 2 before it).
        finest: number of the finest scale of the output.
        **kwargs: of keras.layers.Layer.

    Source: MSDNet, section 4, "first layer".
    """

    def __init__(self, filters, image_size=32, finest=1, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.image_size, self.finest = tuple(filters), image_size, finest
        first, *others = self.filters
        if image_size == 32:
            start = activated(first, 3)
        else:  # zeros are no larger than outputs of ReLU
            start = [*activated(first, 7, 2), layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)]
        stages = [[normalize_pixels(), *start], *(activated(count, 3, 2) for count in others)]
        self.stages = [keras.Sequential(stage, name=scale_name(scale)) for scale, stage in enumerate(stages, 1)]

    def call(self, image, training=None):
        """Returns {scale name: [batch, height, width, channels]} of the output's scales."""
        return self._through(image, lambda stage, x: stage(x, training=training))

    def compute_output_spec(self, image, training=None):
        """Returns the specs of what call returns."""
        return self._through(image, output_spec)

    def _through(self, x, run):
        made = {}
        for scale, stage in enumerate(self.stages, 1):
            made[scale_name(scale)] = x = run(stage, x)
        return {scale_name(scale): made[scale_name(scale)] for scale in range(self.finest, len(self.stages) + 1)}

    def build(self, image_shape):
        """Builds the stages, each for the output of the one before."""
        x = keras.KerasTensor(image_shape)
        for stage in self.stages:
            stage.build(x.shape)
            x = output_spec(stage, x)

    def get_config(self):
        """Returns the arguments."""
        own = {"filters": self.filters, "image_size": self.image_size, "finest": self.finest}
        return {**super().get_config(), **own}


class _AcrossScales(keras.layers.Layer):
    """Blocks from scales to scales; filters and finest, of the output, as in the derived classes."""

    keeps_input = False  # whether a scale's output has its input's channels too

    def __init__(self, filters, finest=1, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.finest = tuple(filters), finest
        self.blocks = {}

    def sources(self, scale, x):
        """Returns the numbers of the scales in x that a scale is computed from."""
        return [scale]

    def block(self, source, scale, channels, parts):
        """Returns the layers from one scale of so many channels to another, of which they make one of so many parts."""
        raise NotImplementedError

    def build(self, x_shape):
        """Creates and builds the blocks."""
        for scale in self._scales():
            sources = self.sources(scale, x_shape)
            for source in sources:
                shape = x_shape[scale_name(source)]
                name = _block_name(source, scale)
                self.blocks[name] = keras.Sequential(self.block(source, scale, shape[-1], len(sources)), name=name)
                self.blocks[name].build(shape)

    def call(self, x, training=None):
        """Returns {scale name: [batch, height, width, channels]} of the output's scales."""
        y = {}
        for scale in self._scales():
            sources = self.sources(scale, x)
            made = [self.blocks[_block_name(s, scale)](x[scale_name(s)], training=training) for s in sources]
            parts = [x[scale_name(scale)], *made] if self.keeps_input else made
            y[scale_name(scale)] = ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        return y

    def compute_output_spec(self, x, training=None):
        """Returns the specs of what call returns."""
        y = {}
        for scale in self._scales():
            shape = x[scale_name(scale)].shape
            channels = self.filters[scale - self.finest] + (shape[-1] if self.keeps_input else 0)
            y[scale_name(scale)] = keras.KerasTensor((*shape[:-1], channels), dtype=self.compute_dtype)
        return y

    def leaf_parts(self, x) -> dict[str, LeafPart]:
        """Returns the cost of each scale and the scales that it reads, for an input of these specs."""
        found = {}
        for scale in self._scales():
            sources = self.sources(scale, x)
            blocks = [tree(self.blocks[_block_name(source, scale)], x[scale_name(source)]) for source in sources]
            name, read = scale_name(scale), tuple(map(scale_name, sources))
            found[name] = LeafPart(Node(name, children=tuple(blocks)), read)
        return found

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "filters": self.filters, "finest": self.finest}

    def _scales(self):
        return range(self.finest, self.finest + len(self.filters))


@keras.saving.register_keras_serializable("keras_dynamic")
class MultiScaleDense(_AcrossScales):
    """A layer of a multi-scale dense network: adds channels to each scale.

    Half of them come from the scale itself, by a 3x3 convolution, half from the next finer one, by a strided one; all
    from the scale itself where there is no finer one. A 1x1 convolution may precede each.

    Args:
        filters: channels added to each scale of the output; even where half of them come from a finer one.
        finest: number of the finest scale of the output.
        bottleneck: for each scale from scale 1 on, the largest width of 1x1 convolutions that read it, as a multiple of
            the filters after them; None for no 1x1 convolutions.
        **kwargs: of keras.layers.Layer.

    Source: MSDNet, section 4 and Figure 2.
    """

    keeps_input = True

    def __init__(self, filters, finest=1, bottleneck=None, **kwargs):
        super().__init__(filters, finest, **kwargs)
        self.bottleneck = None if bottleneck is None else tuple(bottleneck)

    def sources(self, scale, x):
        """Returns the next finer scale, if x has it, and the scale itself."""
        return [source for source in (scale - 1, scale) if scale_name(source) in x]

    def block(self, source, scale, channels, parts):
        """Returns 1x1 and 3x3 convolution, the latter with stride 2 from the finer scale."""
        filters = self.filters[scale - self.finest] // parts
        width = None if self.bottleneck is None else min(channels, self.bottleneck[source - 1] * filters)
        return [*(activated(width, 1) if width else ()), *activated(filters, 3, 1 if source == scale else 2)]

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "bottleneck": self.bottleneck}


@keras.saving.register_keras_serializable("keras_dynamic")
class MultiScaleTransition(_AcrossScales):
    """A 1x1 convolution on each scale, to fewer channels.

    Args:
        filters: channels of each scale's output.
        finest: number of the finest scale.
        **kwargs: of keras.layers.Layer.

    Source: MSDNet, section 4, "network reduction".
    """

    def block(self, source, scale, channels, parts):
        """Returns the 1x1 convolution."""
        return activated(self.filters[scale - self.finest], 1)


def _block_name(source, scale):
    return f"{scale_name(source)}_to_{scale_name(scale)}"


@register(MultiScaleStem)
def _stem_cost(layer, inputs):
    children = []
    for stage in layer.stages:
        children.append(tree(stage, inputs))
        inputs = output_spec(stage, inputs)
    return Node(layer.name, children=tuple(children))


@register(MultiScaleDense, MultiScaleTransition)
def _cost(layer, inputs):
    return Node(layer.name, children=tuple(part.node for part in layer.leaf_parts(inputs).values()))


_SMALLEST = 4  # pixels a side of the coarsest scale


class _OfSize(NamedTuple):
    """Defaults for a size of images."""

    channels: int
    growth: int
    factors: tuple[int, ...]
    finest: int  # pixels of scale 1
    answer: int | None  # filters of the exits' convolutions, None for as many as they read


_SIZES = {32: _OfSize(16, 6, (1, 2, 4), 32, 128), 224: _OfSize(32, 16, (1, 2, 4, 4), 56, None)}


def msdnet(
    num_classes=10,
    blocks=5,
    base=1,
    step=1,
    step_mode="lin_grow",
    *,
    channels=None,
    growth=None,
    growth_factors=None,
    bottleneck_factors=None,
    bottleneck=True,
    prune="max",
    reduction=0.5,
    image_size=32,
    name=None,
) -> DynamicModel:
    """Returns a multi-scale dense network as a dynamic model: a chain whose x is {'scale1': finest, 'scale2': ...}.

    The stem computes all scales. Units, which always run, are the dense layers 'block1_layer1' and so on, and the
    transitions 'block2_transition3' after the layer of that number. After each block an exit reads the coarsest scale:
    two strided 3x3 convolutions, average, dense. Those of all blocks but the last are the chain's exits 'exit1',
    'exit2' and so on; the last is the chain's head, whose logits are the model's.

    The defaults are the budgeted network of the authors' code, with 5 exits. IMTA's Table 1 is blocks=7 of the same;
    the anytime network is blocks=7, base=4, step=2, step_mode='even'; IMTA's networks for ImageNet are blocks=5, base=t
    or t + 3, step=t, step_mode='even', image_size=224 with t of 4, 6 or 7 (t + 3 in the paper, t in the authors' code).

    A scale is computed as long as something reads it. The authors' code computes finer scales up to the last layer
    where the number of layers isn't a multiple of the scales'; nothing reads them.

    Args:
        num_classes: classes of all exits.
        blocks: blocks, and exits with the last.
        base: layers of the first block.
        step: layers of each other block; block i + 1 has step * i + 1 in mode 'lin_grow'.
        step_mode: 'even' or 'lin_grow'.
        channels: of scale 1 in the stem, before its growth factor; 16 for 32 pixels, 32 for 224.
        growth: channels that a layer adds to a scale, before its growth factor; 6 for 32 pixels, 16 for 224.
        growth_factors: of channels and growth, one per scale, so that there are as many scales; (1, 2, 4) for 32
            pixels, (1, 2, 4, 4) for 224.
        bottleneck_factors: widths of 1x1 convolutions that read a scale over the filters after them, one per scale; as
            growth_factors by default.
        bottleneck: whether 1x1 convolutions precede the 3x3 ones.
        prune: 'max' drops the finest scale after each 1 / scales of the layers; 'min' keeps all for as long as the
            last exit can depend on them.
        reduction: channels after a transition over those before it, 0 for no transitions. With 'max' they are where
            a scale was dropped, with 'min' after a third and after two thirds of the layers.
        image_size: 32, or 224 for the stem with a 7x7 convolution and a maximum, both strided.
        name: of the model, 'msdnet' and its number of layers by default.

    Returns:
        DynamicModel, unbuilt, with random weights. It takes images [batch, image_size, image_size, 3] with pixel values
        0 to 255, uint8 or float; the normalisation is part of the stem. Output: logits [batch, num_classes].

    Raises:
        ValueError: if an option is out of range or two options clash.

    Source: Huang et al., Multi-Scale Dense Networks, sections 4 and 5; IMTA, section 4.
    """
    if image_size not in _SIZES:
        raise ValueError(f"image_size must be one of {sorted(_SIZES)}, got {image_size!r}.")
    size = _SIZES[image_size]
    channels = size.channels if channels is None else channels
    growth = size.growth if growth is None else growth
    for option, value in {"blocks": blocks, "base": base, "step": step, "channels": channels, "growth": growth}.items():
        if not is_count(value):
            raise ValueError(f"{option} must be a positive int, got {value!r}.")
    factors = _checked_factors("growth_factors", size.factors if growth_factors is None else growth_factors)
    _check_scales(factors, growth, image_size)
    widths = _widths(bottleneck, bottleneck_factors, factors)
    planned = plan(
        block_sizes(blocks, base, step, step_mode),
        len(factors),
        channels,
        growth,
        prune,
        check_fraction("reduction", reduction),
    )
    kept = scales_after(0, len(planned), len(factors), prune)
    stem = MultiScaleStem([channels * each for each in factors], image_size, len(factors) - kept + 1, name="stem")

    def classifier():
        filters = channels * factors[-1] if size.answer is None else size.answer
        answer = [*activated(filters, 3, 2), *activated(filters, 3, 2), layers.GlobalAveragePooling2D()]
        return keras.Sequential([*answer, layers.Dense(num_classes, name="logits")], name="classifier")

    units, exits, coarsest = [], [], scale_name(len(factors))
    for number, (layer, following) in enumerate(zip(planned, [*planned[1:], None], strict=True), 1):
        place = f"block{layer.block}_layer{number}"
        live = factors[layer.finest - 1 :]
        units.append(MultiScaleDense([growth * each for each in live], layer.finest, widths, name=place))
        channels += growth
        if layer.transition is not None:
            channels, place = layer.transition, f"block{layer.block}_transition{number}"
            units.append(MultiScaleTransition([channels * each for each in live], layer.finest, name=place))
        if following is not None and following.block > layer.block:
            exits.append(Exit(classifier(), after=place, leaf=coarsest, name=f"exit{layer.block}"))
    head = LeafHead(classifier(), coarsest, name="head")
    return DynamicModel(Chain(stem, units, head, exits, name="chain"), name=name or f"msdnet{len(planned)}")


def _checked_factors(option, factors):
    if not isinstance(factors, (list, tuple)) or not factors or not all(map(is_count, factors)):
        raise ValueError(f"{option} must be positive ints, one per scale, e.g. (1, 2, 4), got {factors!r}.")
    return tuple(factors)


def _check_scales(factors, growth, image_size):
    """Raises if the coarsest scale is too small, or a scale's new channels have no two halves."""
    finest = _SIZES[image_size].finest
    coarsest = math.ceil(finest / 2 ** (len(factors) - 1))
    if coarsest < _SMALLEST:
        raise ValueError(
            f"image_size={image_size} and the {len(factors)} scales of growth_factors={factors} clash: the coarsest "
            f"would have {coarsest} pixels a side, and an exit's two strided convolutions need {_SMALLEST}; give "
            "fewer factors."
        )
    for scale, factor in enumerate(factors[1:], 2):
        if growth * factor % 2:
            raise ValueError(
                f"growth={growth} and growth_factors={factors} clash: a layer would add {growth * factor} channels to "
                f"scale {scale}, half of them from the finer scale; make growth even."
            )


def _widths(bottleneck, bottleneck_factors, growth_factors):
    """Returns the bottleneck factors, None for no bottlenecks."""
    if bottleneck_factors is None:
        return growth_factors if bottleneck else None
    if not bottleneck:
        raise ValueError(
            f"bottleneck=False and bottleneck_factors={bottleneck_factors!r} clash: without bottlenecks there is "
            "nothing for them to widen; give one of them."
        )
    widths = _checked_factors("bottleneck_factors", bottleneck_factors)
    if len(widths) != len(growth_factors):
        raise ValueError(
            f"growth_factors={growth_factors} and bottleneck_factors={widths} clash: the former are of "
            f"{len(growth_factors)} scales, the latter of {len(widths)}; give both one factor per scale."
        )
    return widths
