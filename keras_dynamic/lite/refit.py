"""Confidence thresholds of an int8 model, fitted on its own confidences."""

import numpy as np

from keras_dynamic.lite import schema
from keras_dynamic.lite.graph import producers
from keras_dynamic.lite.interpreter import Interpreter
from keras_dynamic.lite.naming import decision_of_tensor

_ALWAYS = (
    0.5,
    -128,
    127,
)  # scale (the kernel takes those under 1 only), zero point, value: 127.5, above any confidence


def refit_thresholds(converted, model, images, names) -> bytes:
    """Sets the thresholds so that on these images each unit runs as often as in float32.

    An int8 softmax has steps of 1/256, and the logits before it are quantised too, so the float thresholds let through
    other shares of the images.

    Args:
        converted: int8 select model, before outlining.
        model: the DynamicModel; a model whose decider compares no confidences is returned as it came.
        images: held-out images, [n, height, width, channels].
        names: of the decisions in the converted model, by number.

    Returns:
        The .tflite's bytes.

    Raises:
        ValueError: if a decision's comparison with its threshold is not found.
    """
    if not model.decider.confidence_names:
        return converted
    parsed = schema.load(converted)
    comparisons = _comparisons(parsed, model, names)
    shares = [float(np.mean(value)) for value in _decisions(model, images)]
    for _, threshold in comparisons:
        _set(parsed, threshold, *_ALWAYS)
    seen = [confidence for confidence, _ in comparisons]
    confidences = _run(parsed, seen, images)
    here = np.ones(len(images), bool)
    for (confidence, threshold), values, share in zip(comparisons, confidences.T, shares, strict=True):
        value = _nearest(values[here], share * len(images))
        tensor = parsed.subgraphs[0].tensors[confidence]
        scales, zeros = schema.quantization(tensor)
        _set(parsed, threshold, scales[0], zeros[0], value)
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


def _comparisons(parsed, model, names):
    """Returns (tensor of the confidence, tensor of the threshold) per decision that compares a confidence."""
    graph = parsed.subgraphs[0]
    made_by = producers(graph)
    found = {}
    for operator in graph.operators:
        if schema.op_name(parsed, operator) != "LESS":
            continue
        index = decision_of_tensor(graph.tensors[operator.outputs[0]].name)
        confidence, threshold = operator.inputs
        if index is not None and schema.is_constant(parsed, graph.tensors[threshold]) and confidence in made_by:
            found[names[index]] = (confidence, threshold)
    missing = [name for name in model.decider.confidence_names if name not in found]
    if missing:
        raise ValueError(f"the converted model does not compare a confidence with a threshold for decisions {missing}.")
    return [found[name] for name in model.decider.confidence_names]


def _set(parsed, index, scale, zero, value):
    """Gives a constant one int8 value, with a scale of its own."""
    tensor = parsed.subgraphs[0].tensors[index]
    tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero]
    tensor.buffer = schema.add_buffer(parsed, np.int8(value).tobytes())


def _run(parsed, tensors, images):
    """Returns the int8 values of these tensors for each image, [n, tensors]."""
    graph, signatures = parsed.subgraphs[0], parsed.signatureDefs
    outputs = list(graph.outputs)
    graph.outputs, parsed.signatureDefs = [*outputs, *tensors], []
    names = [graph.tensors[index].name for index in tensors]
    interpreter = Interpreter(schema.pack(parsed))
    graph.outputs, parsed.signatureDefs = outputs, signatures
    rows = []
    for image in images:
        results = interpreter.run(image, raw=True)
        rows.append([int(np.ravel(results[name])[0]) for name in names])
    return np.array(rows)
