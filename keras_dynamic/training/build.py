"""From a config to a network, a method and an optimizer."""

import os

import keras

from keras_dynamic import zoo
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.messages import near
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import import_resnet_cifar, resnet_cifar

_SCHEDULES = ("one_cycle", "steps", "constant")


def build_network(config):
    """Builds the plain network that a config's `network` section names.

    Args:
        config: with weights ('zoo:NAME', a path in which environment variables are expanded, or '' for random ones),
            depth and num_classes.

    Returns:
        DynamicModel, built for 32x32 images.

    Raises:
        ValueError: if weights do not fit the depth and classes, or a zoo name is unknown.
        FileNotFoundError: if the weights file is missing.
    """
    network = resnet_cifar(config.depth, config.num_classes, name=f"resnet{config.depth}")
    if config.weights.startswith("zoo:"):
        loaded = zoo.load(config.weights.removeprefix("zoo:"))
        row = zoo.describe(config.weights.removeprefix("zoo:"))["network"]
        if row != {"depth": config.depth, "num_classes": config.num_classes}:
            raise ValueError(
                f"{config.weights} is a network of {row}, but the config asks for depth {config.depth} and "
                f"{config.num_classes} classes; change network.depth or network.weights."
            )
        return loaded
    if config.weights:
        return import_resnet_cifar(network, os.path.expandvars(config.weights))
    network.build((None, 32, 32, 3))
    return network


def build_method(config, network, teacher=None):
    """Gates a network as a config's `method` section says.

    Args:
        config: with name and the method's own arguments.
        network: DynamicModel whose chain is gated.
        teacher: network to distil from, or None.

    Returns:
        DynamicModel, built.

    Raises:
        ValueError: if the method's name is unknown.
    """
    if config.name != "activation_gating":
        raise ValueError(f"method.name must be one of ['activation_gating'], got {config.name!r}{near(config.name, ['activation_gating'])}.")
    gates = PerUnitGates(
        data_dependent=config.data_dependent,
        open_probability=config.open_probability,
        always=tuple(config.always),
        seed=config.seed,
    )
    model = ActivationGating(
        network.chain,
        gates,
        target=config.target,
        activation_loss=config.activation_loss,
        const_quad=config.const_quad,
        activation_weight=config.activation_weight,
        weight_decay=config.weight_decay,
        teacher=teacher if config.distillation_weight else None,
        distillation_weight=config.distillation_weight,
        distillation_temperature=config.distillation_temperature,
        name="gated",
    )
    model.build(network.image_shape)
    return model


def build_optimizer(config, steps_per_epoch, epochs):
    """Returns SGD with Nesterov momentum on the schedule that a config's `optimizer` section names.

    Args:
        config: with learning_rate (the peak), momentum, schedule ('one_cycle': linear warm-up over `warm_up` of the steps,
            then cosine to 0; 'steps': times `decay` after each of the `boundaries`, epochs; 'constant').
        steps_per_epoch: batches per epoch.
        epochs: of the whole training.

    Raises:
        ValueError: if the schedule is unknown.
    """
    if config.schedule not in _SCHEDULES:
        raise ValueError(f"optimizer.schedule must be one of {_SCHEDULES}, got {config.schedule!r}{near(config.schedule, _SCHEDULES)}.")
    rate = config.learning_rate
    if config.schedule == "one_cycle":
        warm_up = int(config.warm_up * steps_per_epoch * epochs)
        rest = steps_per_epoch * epochs - warm_up
        rate = keras.optimizers.schedules.CosineDecay(0.0, rest, warmup_target=rate, warmup_steps=warm_up)
    elif config.schedule == "steps":
        boundaries = [int(epoch * steps_per_epoch) for epoch in config.boundaries]
        values = [rate * config.decay**power for power in range(len(boundaries) + 1)]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
    return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=True)
