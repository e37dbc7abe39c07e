"""Traces a model, converts it to TFLite, and removes rectifiers that change no value."""

import re
from typing import Any

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Graph, Model, Operator, Tensor, prune, redirect, schedule
from keras_dynamic.lite.interpreter import decode, port_of
from keras_dynamic.lite.micro import native_output
from keras_dynamic.lite.scaled_channels import read_instead, scale_by_convolution

# An operator that may rescale, so that the quantiser does not give its input and its output one scale; it is removed or
# becomes QUANTIZE afterwards.
TIE_BREAKER_SLOPE = 1.0 - 2.0**-23

# Operations whose int8 input and output have one scale.
_KEEP_SCALE = frozenset(
    """
    BatchToSpaceND DepthToSpace ExpandDims GatherV2 MaxPool MirrorPad Pad PadV2 Reshape ResizeBilinear
    ResizeNearestNeighbor ReverseV2 Slice SpaceToBatchND SpaceToDepth Split Squeeze StridedSlice Tile Transpose
    """.split()
)

_CALIBRATED_ON = 200  # images; more change the scales little
_LEAST_SHARE = 0.1  # of what bytes can stand for, that calibration images fill


def check_calibration(images, shape, wanted_for, pixels) -> np.ndarray:
    """Returns calibration inputs as an array [n, *shape], or raises a ValueError.

    Args:
        images: the caller's argument.
        shape: of one input.
        wanted_for: what needs them, the beginning of a sentence.
        pixels: whether the model normalises pixel values 0 to 255 itself.
    """
    try:
        images = np.asarray([] if images is None else images)
    except ValueError as error:  # parts of different shapes
        raise ValueError(
            f"calibration must be one array of images, got a {type(images).__name__} of parts of different shapes; "
            "give images of one size, without labels."
        ) from error
    if images.size == 0:
        raise ValueError(
            f"{wanted_for} needs calibration images, got none; give calibration=images, some 100 to 500 held-out ones."
        )
    if images.shape[1:] != tuple(shape):
        raise ValueError(
            f"calibration images must have shape [n, {', '.join(map(str, shape))}], got {list(images.shape)}."
        )
    low, high = float(images.min()), float(images.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("calibration images must be finite numbers, got NaN or infinity; leave such images out.")
    if pixels and (not (low >= 0 and high <= 255) or (high <= 1 and images.dtype.kind == "f")):
        raise ValueError(
            f"calibration images must hold pixel values 0 to 255, got {low:g} to {high:g}; "
            "the model normalises them itself."
        )
    return images


def check_byte_range(byte_range, images) -> None:
    """Raises a ValueError if int8 files cannot take bytes of this meaning, or calibration images are not of theirs.

    Args:
        byte_range: the numbers that the bytes 0 and 255 stand for.
        images: what check_calibration returned.
    """
    (low, high), (least, most) = byte_range, (float(images.min()), float(images.max()))
    step = (high - low) / 255
    meaning = f"{low:g} to {high:g}, which the bytes 0 to 255 stand for"
    if low > step or high < -step:
        raise ValueError(
            "input_type='uint8' needs a normalization under which 0 is among the numbers that bytes stand for, as "
            f"TFLite quantises no other range, got {low:g} to {high:g}; put it into the model, or leave input_type out."
        )
    if least < low - step / 4 or most > high + step / 4:
        raise ValueError(
            f"calibration images must lie in {meaning}, got {least:g} to {most:g}; give images as the model takes "
            "them, or the right normalization=(mean, std)."
        )
    if most - least < _LEAST_SHARE * (high - low):
        raise ValueError(
            f"calibration images must fill a tenth or more of {meaning}, got {least:g} to {most:g}; give images as the "
            "model takes them, or the right normalization=(mean, std)."
        )


def trace(function, shape, further=()):
    """Traces a function (image float32 [1, ...], ...) -> tensors, and turns variables into constants.

    Args:
        function: to trace.
        shape: of the image.
        further: specs of its other arguments.

    Raises:
        ValueError: if it computes in a float type that TFLite does not run, draws random numbers or changes variables,
            or runs a loop.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    traced = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32, name="image"), *further])
    concrete = traced.get_concrete_function()
    _check_operations(concrete.graph)
    frozen = convert_variables_to_constants_v2(concrete)
    for operation in frozen.graph.get_operations():
        for tensor in operation.outputs:
            if tensor.dtype.is_floating and tensor.dtype != "float32":
                raise ValueError(
                    f"the model computes in {tensor.dtype.name}, first in {operation.name!r}, and TFLite in float32; "
                    "build it again under the policy 'float32' and give it this one's weights (set_weights)."
                )
    return frozen


def _check_operations(graph) -> None:
    """Raises a ValueError if a graph draws random numbers, changes variables or runs a loop."""
    for operation in graph.get_operations():
        if "Random" in operation.type or operation.type.startswith("Assign"):
            raise ValueError(
                f"export needs a model that answers an image the same way each time, but this one draws random numbers "
                f"or changes a variable, first in {operation.name!r}; give it layers that do not, and in place of a "
                "Stochastic decider its gates: DynamicModel(chain, decider.gates)."
            )
        if operation.type in ("While", "StatelessWhile"):
            raise ValueError(
                f"export needs a model without loops, so that what runs is known step by step, got one in "
                f"{operation.name!r}; make recurrent layers with unroll=True."
            )


def _break_ties(graph):
    """Lets operations rescale that share an input with a concatenation, in place.

    The quantiser gives all that is concatenated one scale. Another operation that keeps the scale of its input it then
    leaves in float, with the convolution after it.
    """
    import tensorflow as tf

    with graph.as_default():
        for operation in graph.get_operations():
            for place, tensor in enumerate(operation.inputs):
                tied = operation.type in _KEEP_SCALE and len(tensor.consumers()) > 1 and _concatenated(tensor)
                if tied and tensor.dtype == tf.float32:
                    rescaled = tf.nn.leaky_relu(tensor, TIE_BREAKER_SLOPE)
                    operation._update_input(place, rescaled)


def _restate(graph):
    """Replaces operations that the quantiser leaves in float, always or at times, by others that give the same."""
    import tensorflow as tf

    instead: dict[str, Any] = {
        "Neg": lambda _, x: [-1.0 * x],
        "SquaredDifference": lambda _, x, y: [(x - y) * (x - y)],
        "Split": _slices,
    }
    with graph.as_default():
        for operation in graph.get_operations():
            if operation.type not in instead or operation.outputs[0].dtype != tf.float32:
                continue
            readers = {reader for output in operation.outputs for reader in output.consumers()}
            if operation.type == "Neg" and any(
                reader.type == "Relu" for reader in readers
            ):  # relu(-x) is a part of PReLU, which has an operator
                continue
            same = instead[operation.type](operation, *operation.inputs)
            for output, other in zip(operation.outputs, same, strict=True):
                read_instead(output.consumers(), output, other)


def _slices(split, axis, x) -> list:
    """Returns what a split gives, as slices: a split of which a part is not read may fail in calibration."""
    import tensorflow as tf

    count, axis = split.get_attr("num_split"), int(tf.get_static_value(axis)) % len(x.shape)
    size = x.shape[axis] // count
    parts = [(slice(None),) * axis + (slice(k * size, (k + 1) * size),) for k in range(count)]
    return [x[part] for part in parts]


def _concatenated(tensor) -> bool:
    """Returns whether a tensor is concatenated, perhaps after operations that keep its scale."""
    readers = tensor.consumers()
    further = (output for each in readers if each.type in _KEEP_SCALE for output in each.outputs)
    return any(each.type == "ConcatV2" for each in readers) or any(map(_concatenated, further))


def convert(frozen, quantize=None, calibration=None, byte_range=None) -> Model:
    """Converts what trace returned to a parsed .tflite, its selects not outlined yet.

    For int8, 200 of the calibration images are used, evenly spread.

    Args:
        frozen: what trace returned.
        quantize: as of export.
        calibration: images for int8.
        byte_range: the numbers that the bytes 0 and 255 stand for, where the input is uint8; else None.

    Raises:
        ValueError: if an operation has no TFLite builtin, the quantiser leaves one in float or cannot hold the factor
            of an image's channel, or bytes come to stand for other numbers.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    scale_by_convolution(frozen.graph, quantize == "int8")
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        _restate(frozen.graph)
        _break_ties(frozen.graph)
        limits = [np.full(each.shape, each.dtype.max, each.dtype.as_numpy_dtype) for each in frozen.inputs[1:]]
        converter.representative_dataset = lambda: _representative(calibration, byte_range, limits)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8 if byte_range is None else tf.uint8
        converter.inference_output_type = tf.int8
    try:
        with native_output():
            content = converter.convert()
    except Exception as error:  # the converter raises its own types, which are not public
        if type(error).__name__ not in ("ConverterError", "RuntimeError", "ValueError"):
            raise
        raise ValueError(_reason(str(error), frozen.graph.get_operations())) from error
    converted = flatbuffer.load(content)
    if quantize == "int8":
        _refuse_float(converted)
    if byte_range is not None:
        _refuse_other_bytes(converted, byte_range)
    return converted


def _representative(calibration, byte_range, further):
    """Yields what the scales are fitted on, and further inputs beside each image.

    With a byte_range, its ends are two numbers of the first image.
    """
    chosen = np.linspace(0, len(calibration) - 1, min(len(calibration), _CALIBRATED_ON)).astype(int)
    for k in chosen:
        image = np.array(calibration[k], np.float32)
        if byte_range is not None and k == 0:
            image.flat[:2] = byte_range
        yield [image[None], *further]


def _refuse_float(converted) -> None:
    """Raises a ValueError if an operator of an int8 model computes in float."""
    for graph in converted.subgraphs:
        for operator in graph.operators:
            name, tensors = flatbuffer.op_name(converted, operator), [*operator.inputs, *operator.outputs]
            kinds = {flatbuffer.type_name(graph.tensors[t]) for t in tensors if t >= 0}
            if "FLOAT32" in kinds and name not in ("QUANTIZE", "DEQUANTIZE"):
                raise ValueError(
                    f"TensorFlow's quantiser leaves {name} in float, which makes "
                    f"{graph.tensors[operator.outputs[0]].name!r}; replace that layer, or export in float32."
                )


def _refuse_other_bytes(converted, byte_range) -> None:
    """Raises a ValueError if the bytes 0 and 255 of a model's input are more than a step off what they should be."""
    main = converted.subgraphs[0]
    low, high = decode(np.array([0, 255]), port_of("image", main.tensors[main.inputs[0]])).tolist()
    if max(abs(low - byte_range[0]), abs(high - byte_range[1])) > (byte_range[1] - byte_range[0]) / 255:
        raise ValueError(
            f"the bytes 0 to 255 of the input must stand for {byte_range[0]:g} to {byte_range[1]:g}, got {low:g} to "
            f"{high:g} from TensorFlow's quantiser; give calibration images of that range, or leave input_type out."
        )


def _reason(message, operations) -> str:
    """Returns the reason why the converter refused a graph, in one sentence."""
    refused = re.search(r"'tf\.(\w+)' op is neither a custom op nor a flex op", message)
    if refused is None:
        return f"TFLite's converter refused the model: {(message.splitlines() or ['it gives no reason'])[0].strip()}"
    kind = refused.group(1)
    where = next((repr(operation.name) for operation in operations if operation.type == kind), "the model")
    return (
        f"TFLite has no builtin operator for {kind}, which {where} needs; "
        "replace that layer with one that TFLite's builtins cover."
    )


# A LEAKY_RELU whose slope is this close to 1 is there only to give an operand a scale of its own.
SLOPE_TOLERANCE = 1e-3

_KEEPS_SIGN = ("AVERAGE_POOL_2D", "LEAKY_RELU", "MAX_POOL_2D", "RESHAPE")


def simplify(model: bytes) -> bytes:
    """Removes or replaces rectifiers that change no value.

    A RELU whose input cannot be negative, and a LEAKY_RELU with slope 1 (to SLOPE_TOLERANCE), are removed; where they
    change the scale of an int8 tensor, they become QUANTIZE. So does every other int8 RELU whose output has zero point
    -128, since there saturation is the rectifier. XNNPACK runs QUANTIZE, but no int8 RELU. On built-in kernels the
    integers stay the same; XNNPACK's QUANTIZE may round to the next one.

    Args:
        model: the bytes of a .tflite, outlined or not.

    Returns:
        The new .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite.
    """
    return flatbuffer.edited(model, drop_rectifiers)


def drop_rectifiers(model: Model) -> None:
    """Removes the rectifiers of a parsed model that change no value, in place, see simplify."""
    nonnegative: list[set[int]] = [set() for _ in model.subgraphs]
    _mark_nonnegative(model, 0, nonnegative)
    for index, graph in enumerate(model.subgraphs):
        for k, operator in enumerate(graph.operators):
            changes_nothing = _changes_nothing(model, operator, nonnegative[index])
            if changes_nothing and _same_scale(graph, operator):
                redirect(model, index, operator.outputs[0], operator.inputs[0])
            elif _is_int8(graph, operator) and (changes_nothing or _saturates(model, graph, operator)):
                ends = operator.inputs, operator.outputs
                graph.operators[k] = flatbuffer.new_operator(model, "QUANTIZE", *ends, "Quantize", version=2)
    prune(model)


def _mark_nonnegative(model: Model, index: int, found: list[set[int]]) -> None:
    """Adds the tensors that cannot be negative in a subgraph, whose inputs are marked already, and its branches."""
    graph, own = model.subgraphs[index], found[index]
    schedule(graph)
    own.update(t for t, tensor in enumerate(graph.tensors) if _cannot_hold_negative(tensor))
    for operator in graph.operators:
        pair = flatbuffer.branches(operator)
        for branch in pair:
            inner = model.subgraphs[branch]
            found[branch].update(i for t, i in zip(operator.inputs[1:], inner.inputs, strict=True) if t in own)
            _mark_nonnegative(model, branch, found)
        for position, t in enumerate(operator.outputs):
            if pair:
                rectified = all(model.subgraphs[b].outputs[position] in found[b] for b in pair)
            else:
                rectified = _is_rectified(model, operator, own)
            if rectified:
                own.add(t)


def _cannot_hold_negative(tensor: Tensor) -> bool:
    """Returns whether every integer of a quantised tensor is a number of 0 or more."""
    _, zero_points = flatbuffer.quantization(tensor)
    return flatbuffer.type_name(tensor) == "INT8" and bool(zero_points) and set(zero_points) == {-128}


def _is_rectified(model: Model, operator: Operator, nonnegative: set[int]) -> bool:
    """Returns whether an operator is a rectifier, ends in one, or keeps the sign of what cannot be negative."""
    name = flatbuffer.op_name(model, operator)
    if name in ("RELU", "RELU6") or (name in _KEEPS_SIGN and operator.inputs[0] in nonnegative):
        return True
    kinds = flatbuffer.schema().ActivationFunctionType
    return getattr(operator.builtinOptions, "fusedActivationFunction", kinds.NONE) in (kinds.RELU, kinds.RELU6)


def _changes_nothing(model: Model, operator: Operator, nonnegative: set[int]) -> bool:
    """Returns whether an operator is a rectifier that leaves its input as it is."""
    name = flatbuffer.op_name(model, operator)
    if name == "LEAKY_RELU" and abs(operator.builtinOptions.alpha - 1) <= SLOPE_TOLERANCE:
        return True
    return name in ("RELU", "LEAKY_RELU") and operator.inputs[0] in nonnegative


def _same_scale(graph: Graph, operator: Operator) -> bool:
    source, result = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    return source.type == result.type and flatbuffer.quantization(source) == flatbuffer.quantization(result)


def _is_int8(graph: Graph, operator: Operator) -> bool:
    return all(flatbuffer.type_name(graph.tensors[t]) == "INT8" for t in (operator.inputs[:1] + operator.outputs[:1]))


def _saturates(model: Model, graph: Graph, operator: Operator) -> bool:
    """Returns whether a RELU cuts where its output's integers end."""
    return flatbuffer.op_name(model, operator) == "RELU" and _cannot_hold_negative(graph.tensors[operator.outputs[0]])
