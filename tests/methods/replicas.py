"""Two replicas on one CPU; as a script it prints what they draw, and how a step differs from that on one device."""

import json
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_dynamic.methods import IMTA
from keras_dynamic.ops import SeedGenerator
from tests.methods.answering import IMAGES, TASKS, WEIGHTS, network

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def draws(strategy) -> list:
    """Returns what each replica draws in two steps, [step][replica][3], and what Keras' own generator gives them."""
    with strategy.scope():
        generators = [SeedGenerator(7), keras.random.SeedGenerator(7)]

    @tf.function
    def drawn(generator):
        return strategy.run(lambda: keras.random.uniform((3,), seed=generator))

    def step(generator):
        return [each.numpy().tolist() for each in strategy.experimental_local_results(drawn(generator))]

    return [[step(generator), step(generator)] for generator in generators]


def moves(task) -> tuple[float, list]:
    """Returns the loss of a step at rate 1 and the weights after it."""
    labels, outputs, loss = TASKS[task]
    keras.utils.set_random_seed(0)
    model = IMTA(network(outputs), exit_weights=[2.0, 0.5], alpha=0.5)
    model.build((None, 8, 8, 3))
    model.compile(keras.optimizers.SGD(1.0), loss)
    data = tf.data.Dataset.from_tensor_slices((IMAGES, labels, WEIGHTS)).batch(12)
    found = model.fit(data, verbose=0).history["loss"][0]
    return found, [weight.tolist() for weight in model.get_weights()]


if __name__ == "__main__":
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    alone = {each: moves(each) for each in ("soft", "summed")}
    with mirrored.scope():
        together = {each: moves(each) for each in ("soft", "summed")}
    lengths = {
        each: max(np.abs(np.subtract(a, b)).max() for a, b in zip(alone[each][1], together[each][1], strict=True))
        for each in alone
    }
    sys.stdout.write(
        json.dumps(
            {
                "draws": draws(mirrored),
                "losses": {each: [alone[each][0], together[each][0]] for each in alone},
                "differences": {each: float(length) for each, length in lengths.items()},
            }
        )
        + "\n"
    )
