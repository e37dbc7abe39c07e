"""Densely connected networks for 32x32 images."""

import math

import keras
from keras import layers

from keras_dynamic.layers import BatchNormalization, Chain, Concatenated, DynamicModel
from keras_dynamic.messages import check_fraction, is_count
from keras_dynamic.models.resnet import normalize_pixels

_PER_DEPTH = 6  # three blocks of units with two convolutions


def densenet_bc(depth=100, growth=12, num_classes=10, reduction=0.5, name=None) -> DynamicModel:
    """Returns a DenseNet-BC for CIFAR as a dynamic model in which every unit runs.

    Three dense blocks of n units at 32, 16 and 8 pixels. A unit adds `growth` channels to its input: batch norm, ReLU,
    1x1 convolution to 4 growth channels, batch norm, ReLU, 3x3 convolution; skipped, it adds zeros. Units are named
    'block1_unit1' and so on. Between blocks are 'transition1' and 'transition2', which always run: batch norm, ReLU,
    1x1 convolution to `reduction` of the channels, 2x2 average.

    Args:
        depth: 6 n + 4.
        growth: channels that a unit adds; the stem has twice as many.
        num_classes: classes of the head.
        reduction: channels after a transition over those before it, in (0, 1].
        name: of the model.

    Returns:
        DynamicModel, unbuilt, with random weights. It takes images [batch, 32, 32, 3] with pixel values 0 to 255, uint8
        or float; the normalisation is part of the stem. Output: logits [batch, num_classes].

    Raises:
        ValueError: if depth or growth don't fit, or reduction leaves a transition no channels.

    Source: Huang et al., Densely Connected Convolutional Networks, section 3, DenseNet-BC.
    """
    if not isinstance(depth, int) or depth < _PER_DEPTH + 4 or (depth - 4) % _PER_DEPTH:
        raise ValueError(f"depth must be 6n+4, e.g. 10, 40 or 100, got {depth!r}.")
    if not is_count(growth):
        raise ValueError(f"growth must be the channels that a unit adds, a positive int, e.g. 12, got {growth!r}.")
    check_fraction("reduction", reduction)
    units, channels, per_block = [], 2 * growth, (depth - 4) // _PER_DEPTH
    for block in (1, 2, 3):
        if block > 1:
            left = math.floor(channels * reduction)
            if not left:
                raise ValueError(
                    f"reduction={reduction!r} leaves none of the {channels} channels before transition{block - 1}; "
                    "take a larger one, e.g. 0.5."
                )
            units.append(_transition(left, f"transition{block - 1}"))
            channels = left
        for index in range(per_block):
            body = [*_activated(4 * growth, 1), *_activated(growth, 3)]
            units.append(Concatenated(body, name=f"block{block}_unit{index + 1}"))
            channels += growth
    stem = keras.Sequential([normalize_pixels(), _convolution(2 * growth, 3)], name="stem")
    answer = [_norm(), layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(num_classes, name="logits")]
    head = keras.Sequential(answer, name="head")
    return DynamicModel(Chain(stem, units, head, name="chain"), name=name or f"densenet{depth}")


def _transition(filters, name):
    return keras.Sequential([*_activated(filters, 1), layers.AveragePooling2D(2)], name=name)


def _activated(filters, kernel):
    """Returns batch norm, ReLU and convolution: the input is activated, not the output."""
    return [_norm(), layers.ReLU(), _convolution(filters, kernel)]


def _norm():
    return BatchNormalization(momentum=0.9, epsilon=1e-5)


def _convolution(filters, kernel):
    return layers.Conv2D(filters, kernel, padding="same", use_bias=False, kernel_initializer="he_normal")
