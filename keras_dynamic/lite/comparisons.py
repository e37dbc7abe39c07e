"""Comparisons of confidences with thresholds: finds, refits and replaces them, and fits thresholds to budgets."""

import copy
from typing import NamedTuple

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.branching import decision_of_tensor
from keras_dynamic.lite.flatbuffer import Model, Operator, producers, schedule
from keras_dynamic.lite.interpreter import Interpreter, Port, decode, port_of
from keras_dynamic.lite.metadata import macs_under
from keras_dynamic.lite.thresholds import THRESHOLDS, written
from keras_dynamic.ops import budget_thresholds, stops

# Above any int8 confidence: 127.5. The kernel takes scales under 1 only.
_ALWAYS_SCALE, _ALWAYS_ZERO_POINT, _ALWAYS = 0.5, -128, np.int8(127)


class Comparison(NamedTuple):
    """The operator that compares a confidence with its threshold, and its two tensors."""

    operator: Operator
    confidence: int
    threshold: int


def comparisons_of(model: Model, wanted, names) -> list[Comparison]:
    """Returns the comparison with a constant threshold for each wanted decision, or raises a ValueError.

    Args:
        model: parsed select model, before outlining.
        wanted: names of the decisions that compare confidences.
        names: of all decisions in the model, by number.
    """
    graph = model.subgraphs[0]
    made_by = producers(graph)
    found = {}
    for operator in graph.operators:
        if flatbuffer.op_name(model, operator) != "LESS":
            continue
        index = decision_of_tensor(graph.tensors[operator.outputs[0]].name)
        confidence, threshold = operator.inputs
        if index is not None and flatbuffer.is_constant(model, graph.tensors[threshold]) and confidence in made_by:
            found[names[index]] = Comparison(operator, confidence, threshold)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"the converted model does not compare a confidence with a threshold for decisions {missing}.")
    return [found[name] for name in wanted]


def set_threshold(model: Model, comparison: Comparison, value, scale=None, zero_point=None) -> None:
    """Gives a comparison a threshold of its own, in place: a NumPy scalar, in int8 with its scale and zero point.

    The converter shares equal thresholds.
    """
    graph = model.subgraphs[0]
    tensor = copy.copy(graph.tensors[comparison.threshold])
    tensor.buffer = flatbuffer.add_buffer(model, value.tobytes())
    if scale is not None:
        tensor.quantization = flatbuffer.schema().QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
    graph.tensors.append(tensor)
    comparison.operator.inputs = [comparison.confidence, len(graph.tensors) - 1]


def confidences(model: Model, wanted, names, images) -> np.ndarray:
    """Runs a copy of a select model in which no image stops, and returns the confidences that it compares.

    Arguments as in comparisons_of, and images [n, height, width, channels]; int8 or float32 array [n, wanted].
    """
    model = copy.deepcopy(model)
    graph = model.subgraphs[0]
    found = comparisons_of(model, wanted, names)
    for each in found:
        if flatbuffer.type_name(graph.tensors[each.confidence]) == "INT8":
            set_threshold(model, each, _ALWAYS, _ALWAYS_SCALE, _ALWAYS_ZERO_POINT)
        else:
            set_threshold(model, each, np.float32(np.inf))
    graph.outputs, model.signatureDefs = [*graph.outputs, *(each.confidence for each in found)], []
    outputs = [graph.tensors[each.confidence].name for each in found]
    interpreter = Interpreter(flatbuffer.pack(model))
    # As floats: where the input is uint8, bytes would be taken as pixel values, not as numbers of the model's range.
    results = (interpreter.run(np.asarray(image, np.float32), raw=True) for image in images)
    return np.array([[np.ravel(row[name])[0] for name in outputs] for row in results])


ROWS = 25  # which has the halves, thirds and sixths of the way


def budget_table(seen, macs, port: Port) -> list[dict]:
    """Fits thresholds for budgets from the first stop's MACs to the last's.

    Args:
        seen: confidences at each decision on held-out images, as the model has them, [n, k].
        macs: MACs of an image that stops at each decision or at none, rising, [k + 1].
        port: the thresholds' input.

    Returns:
        ROWS rows {'macs': budget, 'macs_mean': mean MACs on these images, never more, 'thresholds': k numbers, None for
        infinity, 'stops': share of these images that stop at each decision, and at none, [k + 1]}.

    Source: MSDNet, section 4.2, for the quotas.
    """
    macs = np.asarray(macs)
    if port.scale:  # see take_thresholds
        seen = np.minimum(seen, np.iinfo(port.dtype).max - 1)
    confidences = decode(seen, port)
    rows = []
    for budget in np.linspace(macs[0], macs[-1], ROWS).astype(int):
        thresholds = budget_thresholds(confidences, macs, budget)
        at = stops(confidences, thresholds)
        shares = (np.bincount(at, minlength=len(macs)) / len(at)).round(6).tolist()
        mean = float(macs[at].mean())
        rows.append({"macs": int(budget), "macs_mean": mean, "thresholds": written(thresholds), "stops": shares})
    return rows


def macs_of_stops(cost, names) -> list[int]:
    """Returns an image's MACs, by the cost table, if it stops at the first, second, ... decision, or at none."""
    stops = range(len(names) + 1)
    return [macs_under(cost, {name: int(k < stop) for k, name in enumerate(names)}) for stop in stops]


def take_thresholds(model: Model, wanted, names) -> tuple[Port, np.ndarray]:
    """Makes thresholds the last input, [k], of the confidences' type and scale, in place.

    Each comparison then reads a slice of it. An int8 confidence is compared as at most the second largest integer, so
    that no image stops at the largest, which stands for infinity.

    Arguments as in comparisons_of.

    Returns:
        The input, and the constants that it replaces, float32 array [k].

    Raises:
        ValueError: if a decision's comparison with its threshold is not found, or confidences have several scales.
    """
    graph = model.subgraphs[0]
    found = comparisons_of(model, wanted, names)
    compared = [graph.tensors[each.confidence] for each in found]
    scales = [flatbuffer.quantization(tensor) for tensor in compared]
    if len(set(scales)) > 1:
        listed = ", ".join(f"{name} {scale[0]:.4g}" for name, (scale, _) in zip(wanted, scales, strict=True))
        raise ValueError(
            f"thresholds='input' needs confidences of one scale, got in int8 {listed}; use the measure "
            "'max_probability' or thresholds='baked'."
        )
    kind = compared[0]

    def tensor(name, sizes):
        return flatbuffer.add_tensor(graph, name, list(sizes), kind.type, kind.quantization)

    given = tensor(THRESHOLDS, [len(found)])
    port = port_of(THRESHOLDS, graph.tensors[given])
    constants = [flatbuffer.constant(model, graph.tensors[each.threshold]).reshape(()) for each in found]
    values = [decode(each, port) for each in constants]  # their scale is the confidences' since refit_thresholds
    graph.inputs.append(given)
    one = flatbuffer.add_int32(model, graph, "slice", [1])
    if port.scale:
        most = tensor("most", [1])
        graph.tensors[most].buffer = flatbuffer.add_buffer(
            model, np.array(np.iinfo(port.dtype).max - 1, port.dtype).tobytes()
        )
    for number, each in enumerate(found):
        own = tensor(f"{THRESHOLDS}_{number}", [1])
        begin = flatbuffer.add_int32(model, graph, "slice", [number])
        version = 2 if port.scale else 1  # the first that takes int8
        graph.operators.append(flatbuffer.new_operator(model, "SLICE", [given, begin, one], [own], "Slice", version))
        confidence = each.confidence
        if port.scale:
            confidence = tensor(f"confidence_{number}", flatbuffer.shape(graph.tensors[each.confidence]))
            operands = [each.confidence, most]
            graph.operators.append(
                flatbuffer.new_operator(model, "MINIMUM", operands, [confidence], "MaximumMinimum", version)
            )
        each.operator.inputs = [confidence, own]
    schedule(graph)
    model.signatureDefs = []
    return port, np.array(values, np.float32)


def confidence_names(model, prefix="") -> list[str]:
    """Returns the names of the decisions that compare confidences, those of networks inside units after the unit."""
    own, found = model.decider.confidence_names, []
    for step in model.chain.steps():
        name = step.exit.name if step.unit is None else step.unit.name
        found += [prefix + name] if name in own else []
        if getattr(step.unit, "nested", False):
            found += confidence_names(step.unit.network, f"{prefix}{name}/")
    return found


def refit_thresholds(converted: Model, model, images, names, wanted, seen) -> None:
    """Sets the thresholds in place so that on these images each unit runs as often as in float32.

    An int8 softmax has steps of 1/256, and the logits before it are quantised too, so the float thresholds let through
    other shares of the images.

    Args:
        converted: parsed int8 select model, before outlining.
        model: the DynamicModel.
        images: held-out images, [n, height, width, channels].
        names: as in comparisons_of; `wanted` likewise, as confidence_names orders them.
        wanted: see names.
        seen: the converted model's confidences on these images, int8 array [n, wanted].
    """
    comparisons = comparisons_of(converted, wanted, names)
    decisions = _decisions(model, images)
    here: dict[str, np.ndarray] = {"": np.ones(len(images), bool)}  # images that are left, in each network
    for name, comparison, values in zip(wanted, comparisons, seen.T, strict=True):
        network = name.rpartition("/")[0]
        left = here.get(network, decisions[network] > 0 if network else None)
        value = _nearest(values[left], decisions[name].sum())
        scales, zeros = flatbuffer.quantization(converted.subgraphs[0].tensors[comparison.confidence])
        set_threshold(converted, comparison, np.int8(value), scales[0], zeros[0])
        here[network] = here[name] = left & (values < value)


def _decisions(model, images, batch=250) -> dict[str, np.ndarray]:
    """Returns the float model's decisions, float32 [n] each."""
    taken = [model.outcome(images[i : i + batch], training=False).decisions for i in range(0, len(images), batch)]
    return {name: np.concatenate([np.asarray(part[name]) for part in taken]) for name in taken[0]}


def _nearest(values, wanted):
    """Returns the integer threshold under which the number of values is nearest to the wanted one."""
    candidates = np.arange(-128, 128)
    under = np.searchsorted(np.sort(values), candidates, side="left")
    return int(candidates[np.argmin(np.abs(under - wanted))])
