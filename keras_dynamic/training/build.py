"""From a config to a network, a method and an optimizer."""

import os

import keras

from keras_dynamic import zoo
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.messages import near
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import import_resnet_cifar, resnet_cifar

IMAGE_SHAPE = (32, 32, 3)
_METHODS = ("activation_gating",)
_SCHEDULES = ("one_cycle", "steps", "constant")


def build_network(config):
    """Builds the plain network that a config's `network` section names.

    Args:
        config: with weights ('zoo:NAME', a path in which environment variables are expanded, or '' for random ones),
            depth and num_classes.

    Returns:
        DynamicModel, built for 32x32 images.

    Raises:
        ValueError: if the depth is not 6n+2, weights do not fit depth and classes, or a zoo name is unknown.
        FileNotFoundError: if the weights file is missing.
    """
    network = resnet_cifar(config.depth, config.num_classes, name=f"resnet{config.depth}")
    if config.weights.startswith("zoo:"):
        name = config.weights.removeprefix("zoo:")
        row = zoo.describe(name)["network"]
        if row != {"depth": config.depth, "num_classes": config.num_classes}:
            raise ValueError(
                f"{config.weights!r} is a network of {row}, but the config asks for depth {config.depth} and "
                f"{config.num_classes} classes; change network.depth or network.weights."
            )
        return zoo.load(name)
    if config.weights:
        return import_resnet_cifar(network, os.path.expandvars(config.weights))
    network.build((None, *IMAGE_SHAPE))
    return network


def build_method(config, network, teacher=None, seed=0):
    """Gates a network as a config's `method` section says.

    Args:
        config: with name and the method's own arguments.
        network: DynamicModel whose chain is gated.
        teacher: network to distil from; None for none.
        seed: of the gates' samples.

    Returns:
        DynamicModel, built.

    Raises:
        ValueError: if the method's name is unknown, an argument is out of range, or distillation lacks a teacher.
    """
    if config.name not in _METHODS:
        raise ValueError(f"method.name must be one of {_METHODS}, got {config.name!r}{near(config.name, _METHODS)}.")
    if config.distillation_weight and teacher is None:
        raise ValueError(
            f"method.distillation_weight is {config.distillation_weight}, but there is no trained network to distil "
            "from; give network.weights, or a weight of 0."
        )
    gates = PerUnitGates(
        data_dependent=config.data_dependent,
        open_probability=config.open_probability,
        always=tuple(config.always),
        seed=seed,
        noise=config.gate_noise,
        gradient_scale=config.gate_gradient_scale,
    )
    model = ActivationGating(
        network.chain,
        gates,
        target=config.target if isinstance(config.target, (int, float)) else dict(config.target),
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
    """Returns SGD with momentum on the schedule that a config's `optimizer` section names.

    Args:
        config: with learning_rate (the peak), momentum, nesterov, and schedule: 'one_cycle' (linear warm-up over
            `warm_up` of the steps, then cosine to 0), 'steps' (times `decay` after each of the `boundaries`, in epochs)
            or 'constant'.
        steps_per_epoch: batches per epoch.
        epochs: of the whole training.

    Returns:
        keras.optimizers.SGD.

    Raises:
        ValueError: if the schedule is unknown, or the warm-up is no share of the steps.
    """
    schedule, rate = config.schedule, config.learning_rate
    if schedule not in _SCHEDULES:
        suggestion = near(schedule, _SCHEDULES)
        raise ValueError(f"optimizer.schedule must be one of {_SCHEDULES}, got {schedule!r}{suggestion}.")
    if schedule == "one_cycle":
        if not 0 <= config.warm_up < 1:
            raise ValueError(f"optimizer.warm_up must be a share of all steps in [0, 1), got {config.warm_up!r}.")
        warm_up = int(config.warm_up * steps_per_epoch * epochs)
        rest = steps_per_epoch * epochs - warm_up
        if warm_up:
            rate = keras.optimizers.schedules.CosineDecay(0.0, rest, warmup_target=rate, warmup_steps=warm_up)
        else:
            rate = keras.optimizers.schedules.CosineDecay(rate, rest)
    elif schedule == "steps":
        boundaries = [int(epoch * steps_per_epoch) for epoch in config.boundaries]
        values = [rate * config.decay**power for power in range(len(boundaries) + 1)]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
    return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=config.nesterov)
