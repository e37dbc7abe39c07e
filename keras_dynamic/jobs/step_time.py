"""What gating costs in training: time per step against the plain network, in turn in one process."""

import time

import keras
import numpy as np

from keras_dynamic.jobs.record import write_record
from keras_dynamic.models import resnet_cifar
from keras_dynamic.training.build import build_method, build_network


def step_time(config, record=None) -> dict:
    """Times train_on_batch of a gated network and of the plain Keras network with the same layers.

    Args:
        config: with network, method, batch_size, steps and seed.
        record: the record's id; None writes none.

    Returns:
        {'step_ms_plain', 'step_ms_gated', 'step_ratio'}: medians over the steps.
    """
    start = time.time()
    keras.utils.set_random_seed(config.seed)
    models = {
        "plain": plain_keras(config.network.depth),
        "gated": build_method(config.method, build_network(config.network)),
    }
    rng = np.random.default_rng(config.seed)
    x = rng.integers(0, 256, (config.batch_size, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, config.batch_size)
    for model in models.values():
        model.compile(
            keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    times: dict[str, list[float]] = {name: [] for name in models}
    for step in range(config.steps + 2):
        for name, model in models.items():
            before = time.perf_counter()
            model.train_on_batch(x, y)
            if step >= 2:  # the first steps compile
                times[name].append(time.perf_counter() - before)
    plain, gated = (1e3 * float(np.median(times[name])) for name in ("plain", "gated"))
    ratios = np.array(times["gated"]) / np.array(times["plain"])
    figures = {"step_ms_plain": plain, "step_ms_gated": gated, "step_ratio": float(np.median(ratios))}
    print(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    if record:
        data = f"random images, batch {config.batch_size}, {config.steps} steps each in turn"
        label = f"ResNet-{config.network.depth}, masked training, {keras.backend.backend()}"
        targets = {"step_ratio": "<= 1.15"}
        write_record(record, "gating", label, data, config.to_dict(), figures, targets, time.time() - start)
    return figures


def plain_keras(depth) -> keras.Model:
    """Returns the functional Keras model with the layers of resnet_cifar and nothing of this package around them.

    Args:
        depth: 6 n + 2.
    """
    chain = resnet_cifar(depth).chain
    image = keras.Input((32, 32, 3))
    x = _in_turn(chain.stem, image)
    for unit in chain.units:
        skip = x
        if unit.shortcut is not None:
            skip = type(unit.shortcut).from_config({**unit.shortcut.get_config(), "name": f"{unit.name}_shortcut"})(x)
        x = keras.layers.ReLU()(keras.layers.Add()([_in_turn(unit.body, x), skip]))
    return keras.Model(image, _in_turn(chain.head, x), name=f"plain_resnet{depth}")


def _in_turn(block, x):
    """Calls a block's layers one after the other: blocks share their names, which one functional model may not."""
    for layer in block.layers:
        x = layer(x)
    return x
