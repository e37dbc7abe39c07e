"""What deciding costs in training: time per step against its bound, in turn in one process."""

import time

import keras
import numpy as np

from keras_dynamic.jobs.in_turns import in_turns
from keras_dynamic.jobs.record import write_record
from keras_dynamic.models import resnet_cifar
from keras_dynamic.training.build import build_method, build_network


def step_time(config, record=None) -> dict:
    """Times train_on_batch of a dynamic network beside what it is bounded by, each in turn on the same images.

    For gates that is a step of the plain Keras network with the same layers. For BlockDrop's curriculum it is two
    forward passes of the network and one step of its policy network alone.

    Args:
        config: with network, method, batch_size, steps and seed.
        record: the record's id; None writes none.

    Returns:
        {'step_ms_plain', 'step_ms_gated', 'step_ratio'}, or {'forward_ms', 'policy_step_ms', 'step_ms_curriculum',
        'step_ratio'}: medians over the steps.
    """
    start = time.time()
    keras.utils.set_random_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    x = rng.integers(0, 256, (config.batch_size, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, config.batch_size)
    model = _compiled(build_method(config.method, build_network(config.network)))
    if config.method.name == "blockdrop":
        if config.method.stage != "curriculum" or config.method.policy == "sequential":
            raise ValueError(
                "a step is timed beside its parts in the curriculum of a policy network, got method.stage="
                f"{config.method.stage!r} and method.policy={config.method.policy!r}; change them."
            )
        method, targets = "blockdrop", {"step_ratio": "<= 1.15"}
        label = f"ResNet-{config.network.depth}, BlockDrop's curriculum, {keras.backend.backend()}"
        figures = _curriculum(model, build_network(config.network), x, y, config.steps)
    else:
        method, targets = "gating", {"step_ratio": "<= 1.15"}
        label = f"ResNet-{config.network.depth}, masked training, {keras.backend.backend()}"
        plain = _compiled(plain_keras(config.network.depth))
        times = in_turns(
            {"plain": lambda: plain.train_on_batch(x, y), "gated": lambda: model.train_on_batch(x, y)}, config.steps
        )
        figures = {f"step_ms_{name}": _median_ms(values) for name, values in times.items()}
        figures["step_ratio"] = float(np.median(times["gated"] / times["plain"]))
    print(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    if record:
        data = f"random images, batch {config.batch_size}, {config.steps} steps each in turn"
        write_record(record, method, label, data, config.to_dict(), figures, targets, time.time() - start)
    return figures


def _curriculum(model, network, x, y, steps) -> dict:
    """Times a step of the curriculum, a forward pass of the network, and a step of the policy network alone."""
    policy = keras.models.clone_model(model.decider.network)
    policy.build(x.shape)
    policy.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), "mse")
    wanted = np.zeros((len(x), len(model.decider.names)), np.float32)
    times = in_turns(
        {
            "forward": lambda: network.predict_on_batch(x),
            "policy": lambda: policy.train_on_batch(x, wanted),
            "step": lambda: model.train_on_batch(x, y),
        },
        steps,
    )
    bound = 2 * times["forward"] + times["policy"]
    return {
        "forward_ms": _median_ms(times["forward"]),
        "policy_step_ms": _median_ms(times["policy"]),
        "step_ms_curriculum": _median_ms(times["step"]),
        "step_ratio": float(np.median(times["step"] / bound)),
    }


def _compiled(model):
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def _median_ms(values) -> float:
    return 1e3 * float(np.median(values))


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
