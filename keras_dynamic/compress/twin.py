"""Trains a network's twin in tf_keras under tensorflow-model-optimization: python twin.py FOLDER, in their environment.

It stands alone, as that environment lacks this package, and runs with TF_USE_LEGACY_KERAS=1, which makes tf_keras
tf.keras. The folder has

- order.json: rows, outputs, number of decisions and the weighted rows, as in recipe.Recipe; how ('prune', 'cluster' or
  'quantize_aware') and its settings; loss, epochs, batch_size, learning_rate, seed, verbose;
- weights.npz, 'row/number' each, which are replaced by the trained ones in trained.npz;
- x.npy, y.npy, and decisions.npy [n, decisions].
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

# What int8 training imitates the rounding of: layers whose results an int8 file holds. The rest moves numbers.
_FAKE_QUANTIZED = ("Add", "BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D", "ReLU")

_RANGED_ON = 256  # inputs at whose ranges those of activations begin


def build(order):
    """Returns the twin, a functional model of inputs image, decision0, decision1 ..., with random weights.

    A row's layer has the name 'row' and its number.

    Args:
        order: the content of order.json.
    """
    import tensorflow as tf

    layers = tf.keras.layers
    decisions = [tf.keras.Input((1,), name=f"decision{k}") for k in range(order["decisions"])]
    image: Any = None
    outputs: list[Any] = []
    for number, row in enumerate(order["rows"]):
        inputs, config, name = [outputs[each] for each in row["inputs"]], row["config"], f"row{number}"
        if row["kind"] == "Image":
            y = image = tf.keras.Input(config["shape"], name="image")
        elif row["kind"] == "Decided":
            (x,) = inputs
            decision = layers.Reshape((1,) * (len(x.shape) - 1))(decisions[config["decision"]])
            y = layers.Multiply(name=name)([x, decision])
        elif row["kind"] == "NormalizePixels":
            y = _normalize_pixels(inputs[0], name, **config)
        elif row["kind"] == "PadChannels":
            (x,) = inputs
            y = custom_layers()["PadChannels"]((config["filters"] - x.shape[-1]) // 2, name=name)(x)
        else:
            layer = getattr(layers, row["kind"])(**config, name=name)
            layer.trainable = row["trainable"]
            y = layer(inputs if len(inputs) > 1 else inputs[0])
        outputs.append(y)
    return tf.keras.Model([image, *decisions], [outputs[number] for number in order["outputs"]])


def _normalize_pixels(x, name, mean, deviation):
    """Returns (x / 255 - mean) / deviation, as layers.NormalizePixels."""
    import numpy as np
    import tensorflow as tf

    mean, deviation = np.array(mean), np.array(deviation)
    if x.shape[-1] != len(mean):
        mean, deviation = mean.mean(), deviation.mean()
    scale, offset = 1 / (255 * deviation), -mean / deviation
    return tf.keras.layers.Rescaling(scale.tolist(), offset.tolist(), name=name)(x)


def custom_layers():
    """Returns {name: class} of the layers that tf_keras lacks."""
    import tensorflow as tf

    class PadChannels(tf.keras.layers.Layer):
        """Pads with zero channels, `side` before and as many after."""

        def __init__(self, side, **kwargs):
            super().__init__(**kwargs)
            self.side = side

        def call(self, x):
            return tf.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[self.side, self.side]])

        def get_config(self):
            return {**super().get_config(), "side": self.side}

    return {"PadChannels": PadChannels}


def wrapped(model, order, inputs, steps):
    """Returns the twin to be trained, what is to be called while it is, and the function that takes wrappers off.

    Args:
        model: the twin with its weights.
        order: the content of order.json.
        inputs: of the model, some hundreds, as a dictionary.
        steps: of the training.
    """
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot

    how, settings = order["how"], order["settings"]
    kernels = {f"row{number}" for number, row in enumerate(order["rows"]) if row["kernel"]}

    def each(wrap, chosen):
        return tf.keras.models.clone_model(model, clone_function=lambda layer: wrap(layer) if chosen(layer) else layer)

    def has_kernel(layer):
        return layer.name in kernels

    if how == "prune":
        sparsity = tfmot.sparsity.keras
        first, last, frequency = pruning_steps(settings, steps)
        schedule = sparsity.PolynomialDecay(0.0, settings["sparsity"], first, last, frequency=frequency)
        twin = each(lambda layer: sparsity.prune_low_magnitude(layer, schedule), has_kernel)
        return twin, [sparsity.UpdatePruningStep()], sparsity.strip_pruning
    if how == "cluster":
        clustering = tfmot.clustering.keras
        start = clustering.CentroidInitialization.KMEANS_PLUS_PLUS
        twin = each(lambda layer: clustering.cluster_weights(layer, settings["clusters"], start), has_kernel)
        return twin, [], clustering.strip_clustering
    quantization = tfmot.quantization.keras
    twin = each(quantization.quantize_annotate_layer, lambda layer: type(layer).__name__ in _FAKE_QUANTIZED)
    with quantization.quantize_scope(custom_layers()):
        twin = quantization.quantize_apply(twin)
    _start_ranges(twin, model, inputs)
    return twin, [], lambda model: model


def _start_ranges(twin, model, inputs):
    """Lets the ranges of activations begin at those of the inputs; their moving averages take thousands of steps."""
    import tensorflow as tf

    names = {"quantize_layer": "image", **{f"quant_{layer.name}": layer.name for layer in model.layers}}
    ranged = {layer: names[layer.name] for layer in twin.layers if layer.name in names}
    seen = tf.keras.Model(model.inputs, {name: model.get_layer(name).output for name in ranged.values()})(inputs)
    for layer, name in ranged.items():
        for variable in layer.weights:
            if re.search("(activation|output|quantize_layer)_min:", variable.name):
                variable.assign(tf.reduce_min(seen[name]))
            elif re.search("(activation|output|quantize_layer)_max:", variable.name):
                variable.assign(tf.reduce_max(seen[name]))


def pruning_steps(settings, steps):
    """Returns first step, last step and frequency of the mask's updates, of which the last is at the last step.

    Steps count from 1.
    """
    first = min(int(settings["begin"] * steps), steps - 1)
    length = max(1, round(settings["end"] * steps) - first)
    frequency = max(1, length // 20)
    return first, first + length // frequency * frequency, frequency


def named(x, decisions):
    """Returns inputs of the twin: images [n, ...] and decisions [n, k] by the names of its inputs."""
    import tensorflow as tf

    of_units = {f"decision{k}": decisions[:, k : k + 1] for k in range(decisions.shape[1])}
    return {"image": tf.cast(x, tf.float32), **of_units}


def train(twin, order, arrays, callbacks):
    """Trains the twin in place.

    Args:
        twin: to be trained.
        order: the content of order.json.
        arrays: x, y and decisions.
        callbacks: further ones.
    """
    import tensorflow as tf

    loss = {
        "classes": tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "labels": tf.keras.losses.BinaryCrossentropy(from_logits=True),
        "values": tf.keras.losses.MeanSquaredError(),
    }[order["loss"]]
    outputs = len(order["outputs"])

    def inputs_and_labels(x, y, decisions):
        return named(x, decisions), (y,) * outputs if outputs > 1 else y

    data = tf.data.Dataset.from_tensor_slices(arrays)
    data = data.shuffle(len(arrays[0]), seed=order["seed"]).batch(order["batch_size"]).map(inputs_and_labels)
    steps = order["epochs"] * len(data)
    rate = tf.keras.optimizers.schedules.CosineDecay(order["learning_rate"], steps)
    metrics = [["accuracy"]] * outputs if order["loss"] == "classes" else None
    twin.compile(tf.keras.optimizers.SGD(rate, momentum=0.9), [loss] * outputs, metrics=metrics)
    twin.fit(data, epochs=order["epochs"], callbacks=callbacks, verbose=order["verbose"])


def weights_of(model, name, suffixes):
    """Returns the weights of a layer, or of its wrapper for training in int8, in the order of their names' ends."""
    names = [layer.name for layer in model.layers]
    layer = model.get_layer(name if name in names else f"quant_{name}")
    found = {_suffix(weight): weight.numpy() for weight in layer.weights}
    return [found[suffix] for suffix in suffixes]


def _suffix(weight):
    return weight.name.rpartition("/")[2]


def loaded(folder):
    """Returns what order.json says, and the twin with the weights of weights.npz."""
    import numpy as np

    order = json.loads((folder / "order.json").read_text(encoding="utf-8"))
    model = build(order)
    with np.load(folder / "weights.npz", allow_pickle=False) as weights:
        for number in order["weighted"]:
            layer = model.get_layer(f"row{number}")
            layer.set_weights([weights[f"{number}/{k}"] for k in range(len(layer.weights))])
    return order, model


def main(folder):
    """Does what the folder's order.json says."""
    import numpy as np
    import tensorflow as tf
    import tf_keras  # noqa: F401  missing, it is named here; TensorFlow's own error does not

    order, model = loaded(folder)
    tf.keras.utils.set_random_seed(order["seed"])
    arrays = tuple(np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("x", "y", "decisions"))
    suffixes = {k: [_suffix(weight) for weight in model.get_layer(f"row{k}").weights] for k in order["weighted"]}
    steps = order["epochs"] * -(-len(arrays[0]) // order["batch_size"])
    x, _, decisions = (array[:_RANGED_ON] for array in arrays)
    twin, callbacks, stripped = wrapped(model, order, named(x, decisions), steps)
    train(twin, order, arrays, callbacks)
    twin = stripped(twin)
    trained: dict[str, Any] = {}
    for number, names in suffixes.items():
        found = weights_of(twin, f"row{number}", names)
        trained |= {f"{number}/{k}": weight for k, weight in enumerate(found)}
    np.savez(folder / "trained.npz", **trained)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
