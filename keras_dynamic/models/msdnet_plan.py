"""How many layers the blocks of a multi-scale dense network have, which scales live how long, where channels fall."""

import math
from typing import NamedTuple

from keras_dynamic.messages import near

STEP_MODES = ("even", "lin_grow")
PRUNE = ("max", "min")


class PlannedLayer(NamedTuple):
    """A dense layer and what follows it.

    finest is the number of the finest scale that it hands on. transition is the channels, before growth factors, that a
    transition behind it leaves, None for no transition.
    """

    block: int
    finest: int
    transition: int | None


def block_sizes(blocks, base, step, step_mode) -> list[int]:
    """Returns the layers of each block.

    Args:
        blocks: how many there are.
        base: layers of the first.
        step: layers of each other in mode 'even'; block i + 1 has step * i + 1 in mode 'lin_grow'.
        step_mode: 'even' or 'lin_grow'.

    Raises:
        ValueError: if the mode is unknown.
    """
    if step_mode not in STEP_MODES:
        raise ValueError(f"step_mode must be one of {STEP_MODES}, got {step_mode!r}{near(step_mode, STEP_MODES)}.")
    return [base, *(step if step_mode == "even" else step * block + 1 for block in range(1, blocks))]


def scales_after(layer, layers, scales, prune) -> int:
    """Returns how many scales, the coarsest ones, a layer hands on.

    The last exit reads the coarsest scale, a layer before it the two coarsest, and so on: no layer hands on more than
    that. 'max' drops the finest after each 1 / scales of the layers, too.

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
    """Returns what each layer does, in order.

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
        raise ValueError(f"prune must be one of {PRUNE}, got {prune!r}{near(prune, PRUNE)}.")
    planned, layers = [], sum(sizes)
    blocks = [block for block, size in enumerate(sizes, 1) for _ in range(size)]
    for layer, block in enumerate(blocks, 1):
        channels, left = channels + growth, None
        if reduction and _reduces(layer, layers, scales, prune):
            left = math.floor(reduction * channels)
            if not left:
                raise ValueError(
                    f"reduction={reduction!r} leaves none of the {channels} channels that channels and growth make by "
                    f"layer {layer}, where a transition stands; take a larger reduction, or 0 for no transitions."
                )
            channels = left
        planned.append(PlannedLayer(block, scales - scales_after(layer, layers, scales, prune) + 1, left))
    return planned
