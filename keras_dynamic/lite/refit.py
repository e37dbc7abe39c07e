"""Confidence thresholds of an int8 model, fitted on its own confidences."""

import numpy as np

from keras_dynamic.lite import schema
from keras_dynamic.lite.comparisons import comparisons_of, set_threshold


def confidence_names(model, prefix="") -> list[str]:
    """Returns the names of the decisions that compare confidences, those of networks inside units after the unit.

    Args:
        model: built DynamicModel.
        prefix: before the names, of a network inside a unit.
    """
    own, found = model.decider.confidence_names, []
    for step in model.chain.steps():
        name = step.exit.name if step.unit is None else step.unit.name
        found += [prefix + name] if name in own else []
        if getattr(step.unit, "nested", False):
            found += confidence_names(step.unit.network, f"{prefix}{name}/")
    return found


def refit_thresholds(converted, model, images, names, wanted, seen) -> bytes:
    """Sets the thresholds so that on these images each unit runs as often as in float32.

    An int8 softmax has steps of 1/256, and the logits before it are quantised too, so the float thresholds let through
    other shares of the images.

    Args:
        converted: int8 select model, before outlining.
        model: the DynamicModel.
        images: held-out images, [n, height, width, channels].
        names: of the decisions in the converted model, by number.
        wanted: those that compare confidences, as confidence_names orders them.
        seen: the model's confidences on these images, int8 array [n, wanted], see comparisons.confidences.

    Returns:
        The .tflite's bytes.

    Raises:
        ValueError: if a decision's comparison with its threshold is not found.
    """
    parsed = schema.load(converted)
    comparisons = comparisons_of(parsed, wanted, names)
    decisions = _decisions(model, images)
    here: dict[str, np.ndarray] = {"": np.ones(len(images), bool)}  # images that are left, in each network
    for name, comparison, values in zip(wanted, comparisons, seen.T, strict=True):
        network = name.rpartition("/")[0]
        left = here.get(network, decisions[network] > 0 if network else None)
        value = _nearest(values[left], decisions[name].sum())
        scales, zeros = schema.quantization(parsed.subgraphs[0].tensors[comparison.confidence])
        set_threshold(parsed, comparison, np.int8(value), scales[0], zeros[0])
        here[network] = here[name] = left & (values < value)
    return schema.pack(parsed)


def _decisions(model, images, batch=250) -> dict[str, np.ndarray]:
    """Returns the float model's decisions, float32 [n] each."""
    taken = [model.outcome(images[i : i + batch], training=False).decisions for i in range(0, len(images), batch)]
    return {name: np.concatenate([np.asarray(part[name]) for part in taken]) for name in taken[0]}


def _nearest(values, wanted):
    """Returns the integer threshold under which the number of values is nearest to the wanted one."""
    candidates = np.arange(-128, 128)
    under = np.searchsorted(np.sort(values), candidates, side="left")
    return int(candidates[np.argmin(np.abs(under - wanted))])
