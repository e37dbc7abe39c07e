"""Confidence thresholds of an int8 model, fitted on its own confidences."""

import numpy as np

from keras_dynamic.lite import schema
from keras_dynamic.lite.comparisons import comparisons_of, set_threshold


def refit_thresholds(converted, model, images, names, seen) -> bytes:
    """Sets the thresholds so that on these images each unit runs as often as in float32.

    An int8 softmax has steps of 1/256, and the logits before it are quantised too, so the float thresholds let through
    other shares of the images.

    Args:
        converted: int8 select model, before outlining.
        model: the DynamicModel, whose decider compares confidences.
        images: held-out images, [n, height, width, channels].
        names: of the decisions in the converted model, by number.
        seen: its confidences on these images, int8 array [n, decisions], see comparisons.confidences.

    Returns:
        The .tflite's bytes.

    Raises:
        ValueError: if a decision's comparison with its threshold is not found.
    """
    parsed = schema.load(converted)
    comparisons = comparisons_of(parsed, model.decider.confidence_names, names)
    shares = [float(np.mean(value)) for value in _decisions(model, images)]
    here = np.ones(len(images), bool)
    for comparison, values, share in zip(comparisons, seen.T, shares, strict=True):
        value = _nearest(values[here], share * len(images))
        scales, zeros = schema.quantization(parsed.subgraphs[0].tensors[comparison.confidence])
        set_threshold(parsed, comparison, np.int8(value), scales[0], zeros[0])
        here &= values < value
    return schema.pack(parsed)


def _decisions(model, images, batch=250):
    """Returns the float model's decisions, in order, each [n]."""
    taken = [model.outcome(images[i : i + batch], training=False).decisions for i in range(0, len(images), batch)]
    return [np.concatenate([np.asarray(part[name]) for part in taken]) for name in model.decider.confidence_names]


def _nearest(values, wanted):
    """Returns the integer threshold under which the number of values is nearest to the wanted one."""
    candidates = np.arange(-128, 128)
    under = np.searchsorted(np.sort(values), candidates, side="left")
    return int(candidates[np.argmin(np.abs(under - wanted))])
