"""From a config to a network, a method and an optimizer."""

import os

import keras

from keras_dynamic import zoo
from keras_dynamic.messages import near
from keras_dynamic.models import group_channels, import_resnet_cifar, resnet_cifar, resnet_imagenet
from keras_dynamic.training import blockdrop, fixed, gating, sgad

# Each module has
#   build(config.method, network, teacher, seed) -> DynamicModel,
#   schedule(config, model, steps_per_epoch) -> Schedule, and
#   figures(model, config, splits, evaluation) -> {name: number, or {unit: number}}: what is measured of this method
#   besides what evaluate gives of all, once the model is trained; evaluation is that of the test images.
METHODS = {"activation_gating": gating, "blockdrop": blockdrop, "fixed": fixed, "sgad": sgad}
_OPTIMIZERS = ("sgd", "adam")
_SCHEDULES = ("one_cycle", "steps", "constant")


def image_shape(config) -> tuple[int, int, int]:
    """Returns the shape of the images that a config's `network` section takes."""
    return (224, 224, 3) if config.get("stages") else (32, 32, 3)


def build_network(config):
    """Builds the plain network that a config's `network` section names.

    Args:
        config: with weights ('zoo:NAME', a path in which environment variables are expanded, or '' for random ones),
            depth and num_classes, and perhaps granularity (filters per channel group, an int or {unit or stage: int},
            see models.group_channels); or with stages, the units of each stage of a bottleneck network for 224-pixel
            images, instead of a depth, and no weights.

    Returns:
        DynamicModel, built.

    Raises:
        ValueError: if the depth is not 6n+2, weights do not fit depth and classes, or a zoo name is unknown.
        FileNotFoundError: if the weights file is missing.
    """
    if config.get("stages"):
        if config.weights:
            raise ValueError(
                f"networks for 224-pixel images start with random weights here, got network.weights={config.weights!r};"
                " leave it empty and give a trained run as start_from."
            )
        network = resnet_imagenet(tuple(config.stages), config.num_classes)
    else:
        network = resnet_cifar(config.depth, config.num_classes, name=f"resnet{config.depth}")
    return _grouped(_with_weights(network, config), config)


def _grouped(network, config):
    granularity = config.get("granularity")
    if not granularity:
        return network
    return group_channels(network, granularity if isinstance(granularity, int) else dict(granularity))


def _with_weights(network, config):
    """Returns the network with the weights that the config names, or that network of the zoo."""
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
    network.build((None, *image_shape(config)))
    return network


def build_method(config, network, teacher=None, seed=0):
    """Makes a network dynamic as a config's `method` section says.

    Args:
        config: with name and the method's own arguments.
        network: DynamicModel whose chain is decided.
        teacher: network to distil from; None for none.
        seed: of the decider's samples.

    Returns:
        DynamicModel, built.

    Raises:
        ValueError: if the method's name is unknown, an argument is out of range, or distillation lacks a teacher.
    """
    if config.name not in METHODS:
        known = tuple(METHODS)
        raise ValueError(f"method.name must be one of {known}, got {config.name!r}{near(config.name, known)}.")
    if config.distillation_weight and teacher is None:
        raise ValueError(
            f"method.distillation_weight is {config.distillation_weight}, but there is no trained network to distil "
            "from; give network.weights, or a weight of 0."
        )
    model = METHODS[config.name].build(config, network, teacher if config.distillation_weight else None, seed)
    model.build(network.image_shape)
    return model


def build_optimizer(config, steps_per_epoch, epochs):
    """Returns the optimizer that a config's `optimizer` section names, on the schedule that it names.

    Args:
        config: with name ('sgd', with momentum and nesterov, or 'adam'), learning_rate (the peak) and schedule:
            'one_cycle' (linear warm-up over `warm_up` of the steps, then cosine to 0), 'steps' (times `decay` after
            each of the `boundaries`, in epochs) or 'constant'.
        steps_per_epoch: batches per epoch.
        epochs: of the whole training.

    Returns:
        Keras optimizer.

    Raises:
        ValueError: if name or schedule are unknown, or the warm-up is no share of the steps.
    """
    schedule, rate = config.schedule, config.learning_rate
    if config.name not in _OPTIMIZERS:
        suggestion = near(config.name, _OPTIMIZERS)
        raise ValueError(f"optimizer.name must be one of {_OPTIMIZERS}, got {config.name!r}{suggestion}.")
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
    if config.name == "adam":
        return keras.optimizers.Adam(rate)
    return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=config.nesterov)
