"""Multi-scale dense networks, with an exit after each block."""

import math
from typing import NamedTuple

import keras
from keras import layers

from keras_dynamic.layers import Chain, DynamicModel, Exit, LeafHead
from keras_dynamic.messages import check_fraction, is_count
from keras_dynamic.models.msdnet_layers import (
    MultiScaleDense,
    MultiScaleStem,
    MultiScaleTransition,
    activated,
    scale_name,
)
from keras_dynamic.models.msdnet_plan import block_sizes, plan, scales_after

_SMALLEST = 4  # pixels a side of the coarsest scale


class _OfSize(NamedTuple):
    """What goes with a size of images."""

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

    The stem makes all scales. Units, which always run, are the dense layers 'block1_layer1' and so on, and the
    transitions 'block2_transition3' behind the layer of that number. After each block an exit reads the coarsest scale:
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
        growth_factors: of channels and growth, one per scale, which says how many scales there are; (1, 2, 4) for 32
            pixels, (1, 2, 4, 4) for 224.
        bottleneck_factors: widths of 1x1 convolutions that read a scale over the filters behind them, one per scale; as
            growth_factors by default.
        bottleneck: whether 1x1 convolutions stand before the 3x3 ones.
        prune: 'max' drops the finest scale after each 1 / scales of the layers; 'min' keeps all for as long as the
            last exit can depend on them.
        reduction: channels after a transition over those before it, 0 for no transitions. With 'max' they stand where
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
