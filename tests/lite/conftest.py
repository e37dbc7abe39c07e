"""Small select networks of real Keras layers, converted in float32 and int8, for the tests of flatbuffer passes."""

import functools
from dataclasses import dataclass

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite, ops
from keras_dynamic.lite import outline, write_metadata, write_signature
from keras_dynamic.lite.branching import decision_scope

SIZE, CHANNELS, CLASSES = 8, 8, 5
CONV = SIZE * SIZE * 9 * CHANNELS * CHANNELS  # MACs of one 3x3 convolution inside the networks
STEM = SIZE * SIZE * 9 * 3 * CHANNELS
GATE = CHANNELS
HEAD = CHANNELS * CLASSES


class Network:
    """A select network: forward(image) -> outputs by name, with the cost table that it should have.

    Each decision's threshold lies at a quantile of its own of what its gate says of the images, so that paths differ.
    """

    decisions: tuple[str, ...]
    cost: tuple[tuple[int, tuple[str, ...]], ...]  # MACs, decisions that must all be on

    def __init__(self):
        keras.utils.set_random_seed(0)
        self.stem = self.conv("relu")
        self.gates = [keras.layers.Dense(1) for _ in self.decisions]
        self.said = [[] for _ in self.decisions]
        self.head = keras.layers.Dense(CLASSES)
        self.build()

    def build(self):
        """Makes the layers that are the network's own."""

    def forward(self, image):
        raise NotImplementedError

    def conv(self, activation=None):
        return keras.layers.Conv2D(CHANNELS, 3, padding="same", activation=activation)

    def pairs(self, count):
        return [(self.conv("relu"), self.conv()) for _ in range(count)]

    def decide(self, index, x, also=None):
        import tensorflow as tf

        with tf.name_scope(decision_scope(index)):
            z = self.gates[index](tf.reduce_mean(x, (1, 2)) if len(x.shape) == 4 else x)
            if tf.executing_eagerly():
                self.said[index].append(float(z[0, 0]))
            d = tf.reshape(z > 0, [1])
            return d if also is None else tf.logical_and(d, also)

    def classify(self, x):
        import tensorflow as tf

        return self.head(tf.reduce_mean(x, (1, 2)))

    def fit(self, images):
        for k, (gate, said) in enumerate(zip(self.gates, self.said, strict=True)):
            for heard in self.said:
                heard.clear()
            for image in images:
                self.forward(image[None])
            gate.bias.assign([-np.quantile(said, (k + 1) / (len(self.gates) + 1))])


def residual(pair, x):
    import tensorflow as tf

    return tf.nn.relu(x + pair[1](pair[0](x)))


class Units(Network):
    """Three gated units; each decision reads the unit before it, MACs and decisions are outputs."""

    decisions = ("one", "two", "three")
    cost = ((STEM + 3 * GATE + HEAD, ()), *((2 * CONV, (name,)) for name in decisions))

    def build(self):
        self.units = self.pairs(3)

    def forward(self, image):
        import tensorflow as tf

        x, macs, decisions = self.stem(image / 255.0), tf.constant([self.cost[0][0]]), []
        for k, unit in enumerate(self.units):
            d = self.decide(k, x)
            macs = tf.where(d, macs + 2 * CONV, macs)
            x = tf.where(d, residual(unit, x), tf.nn.relu(x) if k else tf.nn.leaky_relu(x, 0.9999))
            decisions.append(d)
        return {"logits": self.classify(x), "macs": macs, "decisions": tf.concat(decisions, 0)}


class Exits(Network):
    """A unit, an exit that decides from its logits, behind it another unit with its own decision and the last head."""

    decisions = ("unit", "exit", "exit/unit")
    cost = (
        (STEM + GATE + HEAD + CLASSES, ()),
        (2 * CONV, ("unit",)),
        (CONV + GATE + HEAD, ("exit",)),
        (2 * CONV, ("exit", "exit/unit")),
    )

    def build(self):
        self.units = self.pairs(2)
        self.between = self.conv("relu")
        self.exit = keras.layers.Dense(CLASSES)

    def forward(self, image):
        import tensorflow as tf

        x, macs = self.stem(image / 255.0), tf.constant([self.cost[0][0]])
        first = self.decide(0, x)
        x = tf.where(first, residual(self.units[0], x), tf.nn.relu(x))
        macs = tf.where(first, macs + 2 * CONV, macs)
        early = self.exit(tf.reduce_mean(x, (1, 2)))
        go_on = self.decide(1, early)
        y = self.between(x)
        second = self.decide(2, y)
        late = self.classify(tf.where(second, residual(self.units[1], y), tf.nn.relu(y)))
        more = macs + self.cost[2][0]
        more = tf.where(second, more + 2 * CONV, more)
        return {
            "logits": tf.where(go_on, late, early),
            "macs": tf.where(go_on, more, macs),
            "decisions": tf.concat([first, go_on, tf.where(go_on, second, tf.constant([False]))], 0),
        }


class Leaves(Network):
    """One decision over two leaves, with work of the then-side that both leaves read and work that both sides read."""

    decisions = ("both",)
    cost = ((STEM + GATE + CONV + 2 * HEAD, ()), (3 * CONV, ("both",)))

    def build(self):
        self.common, self.inner, self.left, self.right = self.conv("relu"), self.conv("relu"), self.conv(), self.conv()

    def forward(self, image):
        import tensorflow as tf

        x = self.stem(image / 255.0)
        d = self.decide(0, x)
        common = self.common(x)
        inner = self.inner(common)
        left = tf.where(d, tf.nn.relu(self.left(inner) + x), common)
        right = tf.where(d, tf.nn.relu(self.right(inner) + common), common)
        return {"logits": self.classify(left) + self.classify(right)}


class Locked(Network):
    """One decision over two units, one of them under a second, coarser decision; and zeros as an otherwise-operand."""

    decisions = ("coarse", "fine")
    cost = (
        (STEM + 2 * GATE + 2 * HEAD, ()),
        (CONV, ("coarse",)),
        (2 * CONV, ("coarse", "fine")),
        (2 * CONV, ("fine",)),
        (2 * CONV, ("fine",)),
        (CONV, ("fine",)),
    )

    def build(self):
        self.units = self.pairs(3)
        self.inside, self.extra = self.conv("relu"), self.conv("relu")
        self.head = keras.layers.Dense(CLASSES)

    def forward(self, image):
        import tensorflow as tf

        x = self.stem(image / 255.0)
        coarse, fine = self.decide(0, x), self.decide(1, x)
        y = self.inside(x)
        y = tf.where(fine, residual(self.units[0], y), tf.nn.relu(y))
        x = tf.where(coarse, y, tf.nn.relu(x))
        for unit in self.units[1:]:
            x = tf.where(fine, residual(unit, x), tf.nn.relu(x))
        extra = tf.where(fine, self.extra(x), tf.zeros_like(x))
        return {"logits": self.classify(tf.concat([x, extra], -1))}


class Shared(Network):
    """One decision over two leaves that share work, of which one is read under a second decision alone."""

    decisions = ("first", "second")
    cost = ((STEM + 2 * GATE + HEAD, ()), (2 * CONV, ("first",)), (CONV, ("second",)))

    def build(self):
        self.common, self.inner, self.last = self.conv("relu"), self.conv("relu"), self.conv("relu")

    def forward(self, image):
        import tensorflow as tf

        x = self.stem(image / 255.0)
        first = self.decide(0, x)
        common = self.common(x)
        seldom = tf.where(first, self.inner(common), tf.nn.leaky_relu(x, 0.9999))
        always = tf.where(first, common + x, tf.nn.leaky_relu(x, 0.9998))
        second = self.decide(1, always)
        return {"logits": self.classify(tf.where(second, self.last(seldom), tf.nn.leaky_relu(always, 0.9997)))}


NETWORKS = {"units": Units, "exits": Exits, "leaves": Leaves, "locked": Locked, "shared": Shared}


@dataclass(frozen=True)
class Example:
    """A network's .tflite with selects and the same outlined, metadata included; images on which decisions differ."""

    select: bytes
    outlined: bytes
    images: np.ndarray
    decisions: tuple[str, ...]
    cost: tuple


def convert(forward, images, int8):
    """Returns a .tflite of a function of one image; outputs are named by the keys of what it returns."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec((1, *images.shape[1:]), tf.float32, name="image")]
    concrete = tf.function(forward, input_signature=signature).get_concrete_function()
    names = sorted(concrete.structured_outputs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(concrete)])
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return write_signature(converter.convert(), ["image"], names)


def pictures(count):
    """Returns float32 images [count, SIZE, SIZE, 3], 0 to 255, of different colours and contrasts."""
    rng = np.random.default_rng(0)
    tint = rng.random((count, 1, 1, 3))
    return np.round(255 * tint * rng.random((count, SIZE, SIZE, 3))).astype(np.float32)


@functools.cache
def make_example(name, int8):
    images = pictures(24)
    network = NETWORKS[name]()
    network.fit(images)
    metadata = {
        "version": 1,
        "decisions": list(network.decisions),
        "cost": [{"macs": macs, "when": list(when)} for macs, when in network.cost],
        "macs_unit": 1,
        "quantize": "int8" if int8 else None,
    }
    select = write_metadata(convert(network.forward, images, int8), metadata)
    return Example(select, outline(select), images, network.decisions, network.cost)


@pytest.fixture(scope="session")
def example():
    """example(name, int8) -> Example, each made once."""
    return make_example


@pytest.fixture(scope="session")
def to_tflite():
    """to_tflite(forward, images, int8) -> bytes."""
    return convert


@pytest.fixture(scope="session")
def images():
    return pictures(24)


def make_tiny(decider=None, seed=0, body=(), exits=(), name=None):
    keras.utils.set_random_seed(seed)
    stem = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, padding="same", activation="relu")]
    units = [
        layers.Residual([keras.layers.Conv2D(4, 3, padding="same"), *more], name=unit)
        for unit, more in (("one", ()), ("two", body))
    ]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(CLASSES)]
    decider = deciders.PerUnitGates(open_probability=0.5) if decider is None else decider
    model = layers.DynamicModel(layers.Chain(stem, units, head, exits), decider, name=name)
    model.build((None, SIZE, SIZE, 3))
    return model


@pytest.fixture(scope="session")
def tiny():
    """tiny(decider=gates, seed=0, body=(), exits=(), name=None) -> DynamicModel of the units one and two, untrained.

    body: layers at the end of unit two.
    """
    return make_tiny


def make_stopping(decider=None, heads=(None, None, None), units=4):
    """A network of so many units, an exit behind each of the first ones, sure of some images and unsure of others.

    heads: of each exit, what makes its head of plain layers; None for these as they are.
    """
    keras.utils.set_random_seed(0)

    def head(scale):
        kernel = keras.initializers.RandomNormal(stddev=scale)
        return keras.Sequential(
            [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, kernel_initializer=kernel)]
        )

    def unit(name):
        body = [keras.layers.Conv2D(4, 3, padding="same", activation="relu"), keras.layers.Conv2D(4, 3, padding="same")]
        return layers.Residual(body, activation="relu", name=name)

    stem = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, padding="same", activation="relu")]
    made = [head(4.0) if wrap is None else wrap(head(4.0)) for wrap in heads]
    exits = [layers.Exit(each, f"unit{k}", name=f"exit{k}") for k, each in enumerate(made, 1)]
    chain = layers.Chain(stem, [unit(f"unit{k + 1}") for k in range(units)], head(2.0), exits)
    model = layers.DynamicModel(chain, deciders.Confidence() if decider is None else decider)
    model.build((None, SIZE, SIZE, 3))
    if decider is None:
        answers = model.outcome(pictures(24)).exits.values()
        model.decider.set_thresholds([float(np.median(ops.max_probability(logits))) for logits in answers])
    return model


@pytest.fixture(scope="session")
def stopping():
    """stopping(decider=Confidence with medians as thresholds, heads=(None, None, None), units=4) -> DynamicModel."""
    return make_stopping


@functools.cache
def export_stopping(int8, thresholds):
    model, images = make_stopping(), pictures(24)
    outputs = ("logits", "decisions", "macs")
    return lite.export(model, "int8" if int8 else None, images, outputs, thresholds=thresholds)


@pytest.fixture(scope="session")
def stopping_file():
    """stopping_file(int8, thresholds='baked' or 'input') -> bytes of stopping()'s .tflite, all outputs, made once."""
    return export_stopping
