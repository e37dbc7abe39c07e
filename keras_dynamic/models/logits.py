"""Any Keras classifier, taken at its logits."""

import keras

from keras_dynamic.layers import DynamicModel

_LINEAR_ENDS = (
    "Dense Conv2D Add Average Flatten Reshape Dropout GlobalAveragePooling2D AveragePooling2D Identity Rescaling"
).split()


def logits_model(network):
    """Returns the network itself if it ends in logits, or a model that ends before its softmax and shares its layers.

    Args:
        network: keras.Model, a classifier with one input and one output [batch, classes].

    Returns:
        keras.Model that gives logits.

    Raises:
        ValueError: if it ends in anything else than logits or a softmax, or its end cannot be seen.
    """
    if isinstance(network, DynamicModel):
        return network
    if not isinstance(network, keras.Model) or not getattr(network, "outputs", None):
        raise ValueError(
            f"a cascade takes functional, sequential or dynamic Keras models, got {type(network).__name__} "
            f"{getattr(network, 'name', network)!r}; wrap its layers in keras.Sequential or keras.Model(inputs, outputs)."
        )
    if len(network.outputs) != 1 or len(network.inputs) != 1:
        raise ValueError(f"network {network.name!r} must have one input and one output, got {len(network.inputs)} and {len(network.outputs)}.")
    last = network.layers[-1]
    if isinstance(last, (keras.Sequential, keras.src.models.Functional)):
        inner = logits_model(last)
        if inner is last:
            return network
        return keras.Model(network.inputs, inner(last.input if len(network.layers) == 1 else _before(last)), name=network.name)
    activation = getattr(last, "activation", None)
    ends_in_softmax = isinstance(last, keras.layers.Softmax) or activation is keras.activations.softmax
    if ends_in_softmax and isinstance(last, (keras.layers.Softmax, keras.layers.Activation)):
        return keras.Model(network.inputs, _before(last), name=network.name)
    if ends_in_softmax:
        return keras.Model(network.inputs, _linear_twin(last)(_before(last)), name=network.name)
    linear = activation is None or activation is keras.activations.linear
    if type(last).__name__ in _LINEAR_ENDS and linear:
        return network
    ending = type(last).__name__ if linear else f"{type(last).__name__} with activation {getattr(activation, '__name__', activation)!r}"
    raise ValueError(f"network {network.name!r} ends in {ending}; a cascade needs logits (a linear end) or a softmax over them.")


def _before(layer):
    return layer._inbound_nodes[-1].input_tensors[0]


def _linear_twin(layer):
    """Returns the layer with its weights and no activation."""
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    twin.build(_before(layer).shape)
    twin.set_weights(layer.get_weights())
    return twin
