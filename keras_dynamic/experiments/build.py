"""From a config to a network, a method and an optimizer."""

import keras

from keras_dynamic.experiments.networks import plain_network
from keras_dynamic.experiments.recipes import blockdrop, fixed, gating, imta, sgad
from keras_dynamic.messages import did_you_mean
from keras_dynamic.transform import attach_exits, group_channels

# Each module has
#   build(config.method, network, teacher, seed) -> DynamicModel,
#   schedule(config, model, steps_per_epoch) -> Schedule, and
#   figures(model, config, splits, evaluation) -> {name: number, or {unit: number}}: what is measured of this method
#   besides what evaluate gives of all, once the model is trained; evaluation is that of the test images.
METHODS = {"activation_gating": gating, "blockdrop": blockdrop, "fixed": fixed, "imta": imta, "sgad": sgad}
_OPTIMIZERS = ("sgd", "adam")
_SCHEDULES = ("one_cycle", "steps", "constant")


def build_network(config):
    """Builds the plain network that a config's `network` section names.

    Args:
        config: with num_classes, weights ('' for random ones, a path in which environment variables are expanded, or
            'zoo:NAME') and, by the network's name, of experiments.networks.NETWORKS: depth of 'resnet_cifar', which a
            section without name is; stages of 'resnet_imagenet', units of each stage of a bottleneck network; version
            of 'resnet50' and 'resnet101', 'v1.5' or 'v1', whose weights keras.applications has; width of
            'mobilenet_v2'; depth and growth of 'densenet_bc'; of 'msdnet' those arguments of models.msdnet that differ
            from its defaults. Perhaps with size, the side of the images in pixels, and granularity (filters per
            channel group, an int or {unit or stage: int}, see models.group_channels), or exits (names of the units
            after which they stand), exit_filters, exit_copies and frozen, see models.attach_exits.

    Returns:
        DynamicModel, built.

    Raises:
        ValueError: if the name or a version is unknown, an argument of the network is out of range, weights do not fit
            it, or a zoo name is unknown.
        FileNotFoundError: if the weights file is missing.
    """
    network = _grouped(plain_network(config), config)
    if config.get("exits"):
        copies, frozen = list(config.get("exit_copies", ())), config.get("frozen", False)
        return attach_exits(network, list(config.exits), config.get("exit_filters", 64), copies, frozen)
    return network


def _grouped(network, config):
    granularity = config.get("granularity")
    if not granularity:
        return network
    return group_channels(network, granularity if isinstance(granularity, int) else dict(granularity))


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
        raise ValueError(f"method.name must be one of {known}, got {config.name!r}{did_you_mean(config.name, known)}.")
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
        suggestion = did_you_mean(config.name, _OPTIMIZERS)
        raise ValueError(f"optimizer.name must be one of {_OPTIMIZERS}, got {config.name!r}{suggestion}.")
    if schedule not in _SCHEDULES:
        suggestion = did_you_mean(schedule, _SCHEDULES)
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
