"""Any Keras classifier, taken at its logits."""

import keras

from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.logits_end import backwards, described, function_of, hands_on, origin


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
            f"{getattr(network, 'name', network)!r}; wrap its layers in keras.Sequential or "
            "keras.Model(inputs, outputs)."
        )
    if len(network.outputs) != 1 or len(network.inputs) != 1:
        raise ValueError(
            f"network {network.name!r} must have one input and one output, got {len(network.inputs)} and "
            f"{len(network.outputs)}."
        )
    last, before = origin(network.outputs[0])
    if isinstance(last, keras.Model):
        inner = logits_model(last)
        return network if inner is last else keras.Model(network.inputs[0], inner(before), name=network.name)
    if function_of(last) == "softmax":
        logits = before if type(last).__name__ in ("Softmax", "Activation") else _linear_twin(last, before)(before)
        return keras.Model(network.inputs[0], logits, name=network.name)
    _check_linear(network, last)
    return network


def _check_linear(network, last):
    """Raises unless the network's last operation gives logits."""
    found = next((each for each in backwards(network) if not hands_on(each)), last)
    # A feature map may have any function before it is pooled to logits; probabilities have theirs last.
    wrong = last if function_of(last) else found if function_of(found) in ("softmax", "sigmoid") else None
    if wrong is None:
        return
    after = "" if wrong is last else f", handed on by {type(last).__name__} {last.name!r}"
    raise ValueError(
        f"network {network.name!r} ends in {described(wrong)}{after}; "
        "a cascade needs logits (a linear end) or a softmax over them."
    )


def _linear_twin(layer, before):
    """Returns the layer with its weights and no activation."""
    twin = type(layer).from_config({**layer.get_config(), "activation": "linear"})
    twin.build(before.shape)
    twin.set_weights(layer.get_weights())
    return twin
