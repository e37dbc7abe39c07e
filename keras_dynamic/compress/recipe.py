"""Networks written down as rows of plain data, from which twin.py builds them again in tf_keras."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_dynamic import keras_hooks
from keras_dynamic.cost.rules import tensors_of
from keras_dynamic.layers import (
    BatchNormalization,
    Concatenated,
    DynamicModel,
    Exit,
    NormalizePixels,
    PadShortcut,
    Residual,
)

# Layers that tf_keras has too, by name, and the arguments that they need there. Activations are rows of their own.
_SAME: dict[str, tuple[str, ...]] = {
    "Add": (),
    "Average": (),
    "AveragePooling2D": ("pool_size", "strides", "padding"),
    "BatchNormalization": ("axis", "momentum", "epsilon", "center", "scale"),
    "Concatenate": ("axis",),
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "dilation_rate", "groups", "use_bias"),
    "Cropping2D": ("cropping",),
    "Dense": ("units", "use_bias"),
    "DepthwiseConv2D": ("kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "use_bias"),
    "Dropout": ("rate",),
    "Flatten": (),
    "GlobalAveragePooling2D": ("keepdims",),
    "GlobalMaxPooling2D": ("keepdims",),
    "MaxPooling2D": ("pool_size", "strides", "padding"),
    "Maximum": (),
    "Multiply": (),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "Rescaling": ("scale", "offset"),
    "Reshape": ("target_shape",),
    "Subtract": (),
    "UpSampling2D": ("size", "interpolation"),
    "ZeroPadding2D": ("padding",),
}

_KINDS = {getattr(keras.layers, name) for name in _SAME} | {BatchNormalization}

# Activations that are the same functions there, under these names.
_ACTIVATIONS = {
    **{name: name for name in ("elu", "exponential", "gelu", "selu", "sigmoid", "softplus", "softsign", "tanh")},
    "silu": "swish",
}

_KERNELS = ("Conv2D", "Dense")  # layers that are pruned and clustered


class Recipe:
    """A network in which everything runs, as rows that each name the rows that they read.

    The output of a unit's body is multiplied by the unit's decision, which the twin takes as an input.

    Attributes:
        rows: list of {kind, config, inputs, kernel, trainable}: a tf_keras layer's name and arguments, or one of
            twin.py's own; the rows that it reads; whether its kernel is pruned and clustered, and trained at all.
        layers: {row: Keras layer} of those that have weights.
        outputs: rows of the logits, those of exits first.
        decided: names of the units that have a decision, in the order of the twin's inputs.
    """

    def __init__(self, network, decided=()):
        """Writes down a network.

        Args:
            network: built DynamicModel without dynamic networks inside, or a functional or sequential Keras model.
            decided: names of the units that decisions run or skip.

        Raises:
            ValueError: if a layer has no counterpart in tf_keras, or is called more than once.
        """
        self.rows: list[dict[str, Any]] = []
        self.layers: dict[int, keras.layers.Layer] = {}
        self.decided = list(decided)
        dynamic = isinstance(network, DynamicModel)
        shape = network.image_shape if dynamic else network.inputs[0].shape
        x = self._row("Image", {"shape": list(shape[1:])})
        self.outputs = self._chain(network.chain, x) if dynamic else [self._put(network, x)]

    def arrays(self) -> dict:
        """Returns the weights, {'row/number': array}."""
        each = ((row, layer.get_weights()) for row, layer in self.layers.items())
        return {f"{row}/{k}": weight for row, weights in each for k, weight in enumerate(weights)}

    def take(self, arrays) -> None:
        """Gives the layers the weights of such arrays."""
        for row, layer in self.layers.items():
            layer.set_weights([arrays[f"{row}/{k}"] for k in range(len(layer.weights))])

    def _row(self, kind, config=None, inputs=(), layer=None):
        trainable = layer is None or layer.trainable
        row = {"kind": kind, "config": config or {}, "inputs": list(inputs), "kernel": False, "trainable": trainable}
        if layer is not None and layer.weights:
            if any(layer is other for other in self.layers.values()):
                raise ValueError(
                    f"layer {layer.name!r} is called more than once, which compression does not know; give each place "
                    "a layer of its own."
                )
            first = not any(self.rows[number]["kind"] in _KERNELS for number in self.layers)
            row["kernel"] = kind in _KERNELS and not first and trainable
            self.layers[len(self.rows)] = layer
        self.rows.append(row)
        return len(self.rows) - 1

    def _chain(self, chain, x):
        x, outputs = self._put(chain.stem, x), []
        for step in chain.steps():
            if step.exit is None:
                x = self._put(step.unit, x)
            else:
                outputs.append(self._put(step.exit, x))
        return [*outputs, self._put(chain.head, x)]

    def _put(self, operation, *inputs):
        """Appends the rows of a layer or operation on rows, and returns the row of its output."""
        kind = type(operation)
        if kind in _RULES:
            return _RULES[kind](self, operation, *inputs)
        if keras_hooks.graph_is_known(operation):
            return self._graph(operation, *inputs)
        name = kind.__name__
        if kind is keras_hooks.operations().get(name) and name in ("Add", "Multiply", "Relu"):
            return self._row("ReLU" if name == "Relu" else name, inputs=inputs)
        if kind not in _KINDS:
            raise ValueError(
                f"compression knows no counterpart in tf_keras of {name} {operation.name!r}; it knows those of "
                f"{', '.join(sorted(_SAME))}, activations, Residual and Concatenated units."
            )
        config = operation.get_config()
        if config.get("data_format", "channels_last") != "channels_last":
            raise ValueError(f"layer {operation.name!r} must have data_format='channels_last', got another.")
        x = self._row(name, {key: config[key] for key in _SAME[name]}, inputs, operation)
        return self._activation(operation, getattr(operation, "activation", None), x)

    def _graph(self, model, x):
        known = {id(model.inputs[0]): x}
        for node in keras_hooks.graph_nodes(model):
            arguments = node.arguments.args, node.arguments.kwargs
            tensors = tensors_of(arguments)
            given = [value for value in keras.tree.flatten(arguments) if isinstance(value, (int, float, np.ndarray))]
            if not isinstance(node.operation, keras.layers.Layer) and given:
                raise ValueError(
                    f"compression knows no counterpart in tf_keras of {type(node.operation).__name__} "
                    f"{node.operation.name!r} with the constant {given[0]!r}; take a Keras layer, such as Rescaling."
                )
            known[id(node.outputs[0])] = self._put(node.operation, *(known[id(tensor)] for tensor in tensors))
        return known[id(model.outputs[0])]

    def _activation(self, layer, function, x):
        """Appends the row of an activation function."""
        if function in (None, keras.activations.linear):
            return x
        if function in (keras.activations.relu, keras.activations.relu6):
            limit = 6.0 if function is keras.activations.relu6 else None
            return self._row("ReLU", {"max_value": limit}, [x])
        name = next((name for name in _ACTIVATIONS if keras.activations.get(name) is function), None)
        if name is None:
            raise ValueError(
                f"layer {layer.name!r} has the activation {getattr(function, '__name__', function)!r}, which tf_keras "
                f"lacks or computes otherwise; it has {', '.join(('relu', 'relu6', *_ACTIVATIONS))}."
            )
        return self._row("Activation", {"activation": _ACTIVATIONS[name]}, [x])

    def _body(self, unit, x):
        """Appends a unit's body, times its decision if it has one."""
        if unit.group_names:
            raise ValueError(
                f"unit {unit.name!r} has decisions on groups of its body, which compression does not know; compress "
                "the network before kd.transform.group_channels, or after kd.transform.strip_gates."
            )
        body = self._put(unit.body, x)
        if unit.name not in self.decided:
            return body
        return self._row("Decided", {"decision": self.decided.index(unit.name)}, [body])

    def _residual(self, unit, x):
        skip = x if unit.shortcut is None else self._put(unit.shortcut, x)
        return self._activation(unit, unit.activation, self._row("Add", inputs=[skip, self._body(unit, x)]))

    def _concatenated(self, unit, x):
        return self._row("Concatenate", {"axis": -1}, [x, self._body(unit, x)])

    def _pad_shortcut(self, layer, x):
        config = {"filters": layer.filters}
        if layer.stride > 1:
            x = self._row("AveragePooling2D", {"pool_size": 1, "strides": layer.stride}, [x])
        return self._row("PadChannels", config, [x])

    def _normalize_pixels(self, layer, x):
        return self._row("NormalizePixels", {"mean": layer.mean, "deviation": layer.deviation}, [x])


_RULES: dict[type, Callable] = {
    Residual: Recipe._residual,
    Concatenated: Recipe._concatenated,
    PadShortcut: Recipe._pad_shortcut,
    NormalizePixels: Recipe._normalize_pixels,
    Exit: lambda recipe, layer, x: recipe._put(layer.head, x),
    keras.layers.Activation: lambda recipe, layer, x: recipe._activation(layer, layer.activation, x),
    keras.layers.Identity: lambda recipe, layer, x: x,
}
