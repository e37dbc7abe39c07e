"""Reads a .tflite of one subgraph as a Keras model, with its weights as float32."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Graph, Model, Operator, Tensor
from keras_dynamic.lite.verify import scales_channels, set_shapes_of_one

_ROWS = "channels_last"  # as every .tflite has images
_COMPUTING = frozenset("ADD SUB MUL CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED".split())


def to_keras(content: bytes, name: str = "from_tflite") -> keras.Model:
    """Returns a .tflite, from whatever tool, as a functional Keras model of the same computation.

    Weights become float32. Of an int8 file the model computes what the integers stand for, without their rounding and
    limits: the class of a few images in a hundred may differ, and of inputs unlike those that it was calibrated on, of
    many. Its input is in the numbers that the file's integers stand for, of a
    file that takes pixels with scale 1/255 those from 0 to 1: put a Rescaling before it if other networks take pixels
    0 to 255. Such a model can be a member of a cascade, be trained, and be exported again.

        small = kd.lite.to_keras(Path("small.tflite").read_bytes(), name="small")
        model = kd.models.cascade([small, large])

    Args:
        content: the bytes of a float32 or int8 .tflite, also with weights of float16 or int8 alone, with one input, one
            output and no conditions.
        name: of the model.

    Returns:
        keras.Model. Its layers are named after operators, by their places in the file, as in operator_table.

    Raises:
        ValueError: if the bytes are no whole .tflite, it has several subgraphs, inputs or outputs, or an operator, or a
            use of one, that has no counterpart here.
    """
    model = flatbuffer.load(content)
    main = model.subgraphs[0]
    if len(model.subgraphs) > 1 or (len(main.inputs), len(main.outputs)) != (1, 1):
        raise ValueError(
            f"to_keras takes networks that run whole, of one input and one output, got {len(model.subgraphs)} "
            f"subgraphs, {len(main.inputs)} inputs and {len(main.outputs)} outputs; of a file that decides, load the "
            "Keras model that it was exported from."
        )
    set_shapes_of_one(model, content)
    made = _Layers(model, main)
    return keras.Model(made.image, made.value(main.outputs[0]), name=name)


class _Layers:
    """The Keras tensors of a subgraph's operators.

    Attributes:
        image: the input.
    """

    def __init__(self, model: Model, graph: Graph):
        self.model, self.graph = model, graph
        names = [flatbuffer.op_name(model, operator) for operator in graph.operators]
        for operator, name in zip(graph.operators, names, strict=True):
            if name in _RESHAPING:  # the shape is known: what a file computes of it is left out
                operator.inputs = operator.inputs[:1]
        needed = flatbuffer.guards(graph, {})
        self.image = keras.Input(self.shape(graph.inputs[0])[1:], dtype="float32", name="image")
        self._values: dict[int, Any] = {graph.inputs[0]: self.image}
        for place, (operator, name) in enumerate(zip(graph.operators, names, strict=True)):
            if needed[place] is not None:
                self._add(operator, name, f"operator{place}_{name.lower()}")

    def _add(self, operator: Operator, name: str, layer_name: str) -> None:
        tensor = self.graph.tensors[operator.outputs[0]]
        if name == "DEQUANTIZE" and self.is_constant(operator.inputs[0]):
            self._values[operator.outputs[0]] = self.numbers(operator.inputs[0])
            return
        what = f"to_keras: operator {name}, which makes {tensor.name!r} ({layer_name})"
        if name not in RULES:
            raise ValueError(f"{what}, has no counterpart here; expected one of {sorted(RULES)}.")
        if self.shape(operator.outputs[0])[:1] != (1,):
            raise ValueError(f"{what}, gives {list(self.shape(operator.outputs[0]))}; expected a batch of one image.")
        try:
            made = self._activated(operator, RULES[name](self, operator, layer_name), layer_name)
        except ValueError as error:
            raise ValueError(f"{what}, has no counterpart here: {str(error).splitlines()[0]}") from error
        self._values[operator.outputs[0]] = made

    def shape(self, t: int) -> tuple[int, ...]:
        """Returns a tensor's shape."""
        return flatbuffer.shape(self.graph.tensors[t])

    def is_constant(self, t: int) -> bool:
        """Returns whether the file holds a tensor's values, or those of which it is the float32."""
        return isinstance(self._values.get(t), np.ndarray) or flatbuffer.is_constant(self.model, self.graph.tensors[t])

    def value(self, t: int):
        """Returns the Keras tensor of a computed tensor."""
        if t not in self._values or self.is_constant(t):
            raise ValueError(f"it reads {self.graph.tensors[t].name!r}, which is no result of a layer.")
        return self._values[t]

    def numbers(self, t: int) -> np.ndarray:
        """Returns the numbers for which a constant stands, float32."""
        if not self.is_constant(t):
            raise ValueError(f"it needs {self.graph.tensors[t].name!r} as a constant, but the file computes it.")
        return self._values[t] if t in self._values else dequantised(self.model, self.graph.tensors[t])

    def integers(self, t: int) -> list:
        """Returns a constant's integers, nested as it is."""
        if not flatbuffer.is_constant(self.model, self.graph.tensors[t]):
            raise ValueError(f"it needs {self.graph.tensors[t].name!r} as a constant, but the file computes it.")
        return flatbuffer.constant(self.model, self.graph.tensors[t]).tolist()

    def weighted(self, kind, operator: Operator, kernel, x, *arguments, **how):
        """Returns the result of a layer of a kind on x, made of arguments, with the kernel and the operator's bias."""
        biases = [self.numbers(t) for t in operator.inputs[2:] if t >= 0]
        layer = kind(*arguments, use_bias=bool(biases), **how)
        made = layer(x)
        layer.set_weights([kernel, *biases])
        return made

    def _activated(self, operator: Operator, value, name: str):
        """Returns a value after the activation that is a part of the operator."""
        kinds = flatbuffer.schema().ActivationFunctionType
        kind = getattr(operator.builtinOptions, "fusedActivationFunction", kinds.NONE)
        if kind == kinds.NONE and flatbuffer.op_name(self.model, operator) in _COMPUTING:
            kind = self._implied(self.graph.tensors[operator.outputs[0]])
        if kind == kinds.NONE:
            return value
        known = {kinds.RELU: layers.ReLU, kinds.RELU6: _relu6, kinds.TANH: _tanh}
        if kind not in known:
            raise ValueError(f"its activation is number {kind} of the schema, none of {sorted(known)}.")
        return known[kind](name=f"{name}_activation")(value)

    def _implied(self, tensor: Tensor) -> int:
        """Returns the activation that integers imply which stand for no number under 0: some files leave it to them."""
        kinds = flatbuffer.schema().ActivationFunctionType
        scales, zeros = flatbuffer.quantization(tensor)
        if not scales or flatbuffer.dtype(tensor).kind not in "iu":
            return kinds.NONE
        limits = np.iinfo(flatbuffer.dtype(tensor))
        if zeros[0] != limits.min:
            return kinds.NONE
        most = (limits.max - limits.min) * scales[0]
        return kinds.RELU6 if abs(most - 6) < scales[0] / 2 else kinds.RELU


def _relu6(name):
    return layers.ReLU(6.0, name=name)


def _tanh(name):
    return layers.Activation("tanh", name=name)


def dequantised(model: Model, tensor: Tensor) -> np.ndarray:
    """Returns the numbers for which a parsed model's constant stands, float32.

    Raises:
        ValueError: if they are integers without a scale, or stored sparsely.
    """
    if tensor.sparsity is not None:
        raise ValueError(f"{tensor.name!r} is stored sparsely; convert the model without sparse weights.")
    values = flatbuffer.constant(model, tensor)
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    scales, zeros = flatbuffer.quantization(tensor)
    if not scales:
        raise ValueError(f"{tensor.name!r} holds integers of {values.dtype} without a scale.")
    along = [1] * values.ndim
    if len(scales) > 1:
        along[tensor.quantization.quantizedDimension] = len(scales)
    scale, zero = (np.array(each, np.float32).reshape(along) for each in (scales, zeros or [0]))
    return ((values.astype(np.float32) - zero) * scale).astype(np.float32)


def _window(operator: Operator) -> dict[str, Any]:
    """Returns padding, strides and order of axes, which convolutions and pooling have in common."""
    options = operator.builtinOptions
    same = options.padding == flatbuffer.schema().Padding.SAME
    return {
        "padding": "same" if same else "valid",
        "strides": (options.strideH, options.strideW),
        "data_format": _ROWS,
    }


def _convolution(made, operator, name):
    x, options = made.value(operator.inputs[0]), operator.builtinOptions
    kernel = made.numbers(operator.inputs[1]).transpose(1, 2, 3, 0)  # from [out, height, width, in / groups]
    if scales_channels(made.model, made.graph, operator):
        return ops.add(ops.multiply(x, np.diag(kernel[0, 0])), made.numbers(operator.inputs[2]))
    how = _window(operator) | {
        "dilation_rate": (options.dilationHFactor, options.dilationWFactor),
        "groups": x.shape[-1] // kernel.shape[2],
    }
    return made.weighted(layers.Conv2D, operator, kernel, x, kernel.shape[3], kernel.shape[:2], name=name, **how)


def _depthwise(made, operator, name):
    x, options = made.value(operator.inputs[0]), operator.builtinOptions
    kernel = made.numbers(operator.inputs[1])  # [1, height, width, in * multiplier]
    size, multiplier = kernel.shape[1:3], kernel.shape[3] // x.shape[-1]
    if options.strideH != options.strideW:
        raise ValueError(f"its strides must be equal, got {options.strideH} and {options.strideW}.")
    how = _window(operator) | {
        "dilation_rate": (options.dilationHFactor, options.dilationWFactor),
        "depth_multiplier": multiplier,
    }
    kernel = kernel.reshape(*size, x.shape[-1], multiplier)
    return made.weighted(layers.DepthwiseConv2D, operator, kernel, x, size, name=name, **how)


def _dense(made, operator, name):
    x, kernel = made.value(operator.inputs[0]), made.numbers(operator.inputs[1]).T  # from [out, in]
    if x.shape[-1] != len(kernel) or len(made.shape(operator.outputs[0])) != len(x.shape):
        x = layers.Flatten(data_format=_ROWS, name=f"{name}_flat")(x)
    return made.weighted(layers.Dense, operator, kernel, x, kernel.shape[1], name=name)


def _merged(layer, operation):
    """The rule of an operator over two tensors, of which one may be a constant."""

    def rule(made, operator, name):
        one, other = operator.inputs
        if not made.is_constant(one) and not made.is_constant(other):
            return layer(name=name)([made.value(one), made.value(other)])
        given = [made.numbers(t) if made.is_constant(t) else made.value(t) for t in (one, other)]
        return operation(*given)

    return rule


def _concatenation(made, operator, name):
    axis, rank = operator.builtinOptions.axis, len(made.shape(operator.outputs[0]))
    if axis % rank == 0:
        raise ValueError("it joins images of a batch.")
    return layers.Concatenate(axis % rank, name=name)([made.value(t) for t in operator.inputs])


def _pool(layer):
    def rule(made, operator, name):
        options = operator.builtinOptions
        size = options.filterHeight, options.filterWidth
        return layer(size, name=name, **_window(operator))(made.value(operator.inputs[0]))

    return rule


def _mean(made, operator, name):
    x, keep = made.value(operator.inputs[0]), bool(operator.builtinOptions.keepDims)
    axes = sorted({axis % len(x.shape) for axis in np.ravel(made.integers(operator.inputs[1])).tolist()})
    if 0 in axes:
        raise ValueError("it is the mean over a batch.")
    if axes == [1, 2] and len(x.shape) == 4:
        return layers.GlobalAveragePooling2D(_ROWS, keepdims=keep, name=name)(x)
    return ops.mean(x, axes, keepdims=keep)


def _softmax(made, operator, name):
    beta = operator.builtinOptions.beta
    if beta != 1:
        raise ValueError(f"it multiplies by beta {beta:g} first, which must be 1.")
    return layers.Softmax(name=name)(made.value(operator.inputs[0]))


def _reshape(made, operator, name):
    return layers.Reshape(made.shape(operator.outputs[0])[1:], name=name)(made.value(operator.inputs[0]))


def _pad(made, operator, name):
    x, pads = made.value(operator.inputs[0]), made.integers(operator.inputs[1])
    if any(pads[0]):
        raise ValueError("it pads the batch.")
    if len(pads) == 4 and not any(pads[3]):
        return layers.ZeroPadding2D((tuple(pads[1]), tuple(pads[2])), data_format=_ROWS, name=name)(x)
    return ops.pad(x, pads)


def _layer(make: Callable[[Operator, str], Any]):
    """The rule of a layer over one tensor."""
    return lambda made, operator, name: make(operator, name)(made.value(operator.inputs[0]))


def _activation(function):
    return _layer(lambda operator, name: layers.Activation(function, name=name))


def _handed_on(made, operator, name):
    """Integers and the numbers that they stand for are one here."""
    return made.value(operator.inputs[0])


_RESHAPING = frozenset({"EXPAND_DIMS", "RESHAPE", "SQUEEZE"})

RULES: dict[str, Callable[[_Layers, Operator, str], Any]] = {
    **dict.fromkeys(_RESHAPING, _reshape),
    "ADD": _merged(layers.Add, ops.add),
    "AVERAGE_POOL_2D": _pool(layers.AveragePooling2D),
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _handed_on,
    "FULLY_CONNECTED": _dense,
    "HARD_SWISH": _activation("hard_silu"),
    "LEAKY_RELU": _layer(lambda operator, name: layers.LeakyReLU(float(operator.builtinOptions.alpha), name=name)),
    "LOGISTIC": _activation("sigmoid"),
    "MAX_POOL_2D": _pool(layers.MaxPooling2D),
    "MEAN": _mean,
    "MUL": _merged(layers.Multiply, ops.multiply),
    "PAD": _pad,
    "QUANTIZE": _handed_on,
    "RELU": _layer(lambda operator, name: layers.ReLU(name=name)),
    "RELU6": _layer(lambda operator, name: layers.ReLU(6.0, name=name)),
    "SOFTMAX": _softmax,
    "SUB": _merged(layers.Subtract, ops.subtract),
    "TANH": _activation("tanh"),
}
