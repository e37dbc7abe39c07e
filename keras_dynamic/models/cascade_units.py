"""The networks of a cascade as a stem, units and a head of a chain."""

import keras
from keras import ops

from keras_dynamic.cost import Guard, Node, register, tree
from keras_dynamic.layers import Decided, DynamicModel, Unit
from keras_dynamic.ops import blend


@keras.saving.register_keras_serializable("keras_dynamic")
class FirstNetwork(keras.layers.Layer):
    """The stem of a cascade: x = {image, logits of the first network / temperature}."""

    def __init__(self, network, temperature=1.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.network = network
        self.temperature = _temperature(self, temperature)

    def call(self, image, training=None):
        """Returns {'image': [batch, ...], 'logits': float32 [batch, classes]}."""
        return {
            "image": image,
            "logits": ops.cast(self.network(image, training=training), "float32") / self.temperature,
        }

    def get_config(self):
        """Returns the arguments, the network serialized."""
        network = keras.saving.serialize_keras_object(self.network)
        return {
            **super().get_config(),
            "network": network,
            "temperature": float(ops.convert_to_numpy(self.temperature)),
        }

    @classmethod
    def from_config(cls, config):
        """Rebuilds the layer from get_config()."""
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})


@keras.saving.register_keras_serializable("keras_dynamic")
class NextNetwork(Unit):
    """A later network of a cascade as a unit: it adds its logits / temperature to the sum.

    Args:
        network: keras.Model that gives logits; a DynamicModel's own decisions appear as 'unit/decision'.
        temperature: divides its logits; a non-trainable variable.
        **kwargs: of keras.layers.Layer.
    """

    def __init__(self, network, temperature=1.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.network = network
        self.temperature = _temperature(self, temperature)

    @property
    def nested(self) -> bool:
        """Whether the network itself makes decisions."""
        return isinstance(self.network, DynamicModel) and bool(self.network.decision_names)

    def branch(self, x, training=None, given=None, read=None):
        """Returns x with the network's logits added, and what a dynamic network decided."""
        if not self.nested:
            return self._added(x, self.network(x["image"], training=training))
        reading = {} if read is None else {"read": read}
        inner = self.network.outcome(x["image"], decisions=given or None, training=training, **reading)
        return self._added(x, inner.logits), Decided(inner.decisions, inner.probabilities, inner.conditional)

    def _added(self, x, logits):
        return {"image": x["image"], "logits": x["logits"] + ops.cast(logits, "float32") / self.temperature}

    def otherwise(self, x, training=None):
        """Returns x."""
        return x

    def call(self, x, decision=None, training=None, given=None, read=None):
        """Runs the masked reading: logits + decision * network(image) / temperature."""
        if not self.nested:
            return super().call(x, decision, training)
        y, inner = self.branch(x, training, given, read)
        return (y if decision is None else blend(decision, y, x)), inner

    def skip(self, x, training=None, given=None, read=None):
        """Returns x, and a dynamic network's decisions as 0."""
        if not self.nested:
            return x
        closed = dict.fromkeys(self.network.decision_names, 0.0)
        return x, Decided(closed, closed, closed)

    def cost_node(self, x, guard: Guard | None, groups: tuple[Guard | None, ...] = ()) -> Node:
        """Returns the network's cost tree under guard."""
        inner = tree(self.network, x["image"]).prefixed(self.name)
        return Node(self.name, when=guard, children=(inner,))

    def get_config(self):
        """Returns the arguments, the network serialized."""
        network = keras.saving.serialize_keras_object(self.network)
        return {
            **super().get_config(),
            "network": network,
            "temperature": float(ops.convert_to_numpy(self.temperature)),
        }

    @classmethod
    def from_config(cls, config):
        """Rebuilds the unit from get_config()."""
        return cls(**{**config, "network": keras.saving.deserialize_keras_object(config["network"])})


@keras.saving.register_keras_serializable("keras_dynamic")
class Leaf(keras.layers.Layer):
    """Hands through one leaf of a dictionary: the head of a cascade.

    Args:
        key: of the leaf.
        **kwargs: of keras.layers.Layer.
    """

    def __init__(self, key, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.key = key

    def call(self, x):
        """Returns x[key]."""
        return x[self.key]

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "key": self.key}


@register(Leaf)
def _leaf_cost(layer, inputs):
    return 0


@register(FirstNetwork)
def _first_cost(layer, inputs):
    return tree(layer.network, inputs)


def _temperature(layer, value):
    if not value > 0:
        raise ValueError(f"a temperature must be positive, got {value!r}.")
    return layer.add_weight(
        shape=(), initializer=keras.initializers.Constant(value), trainable=False, dtype="float32", name="temperature"
    )
