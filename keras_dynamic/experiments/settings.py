"""Checks of a config's numbers, before anything is loaded, trained or written."""

from keras_dynamic.experiments.networks import check_choice
from keras_dynamic.messages import check_count, check_fraction, check_number

_OPTIMIZERS, _SCHEDULES = ("sgd", "adam"), ("one_cycle", "steps", "constant")


def check_training(config):
    """Raises a ValueError if what a config says of the training, but for its method and data, cannot be.

    Args:
        config: ml_collections ConfigDict, see configs/base.py.
    """
    check_count("epochs", config.epochs)
    check_count("batch_size", config.batch_size)
    check_count("seed", config.seed, least=0)
    check_count("reestimate_images", config.reestimate_images, least=0)
    section = config.optimizer
    check_choice("optimizer.name", section.name, _OPTIMIZERS)
    check_choice("optimizer.schedule", section.schedule, _SCHEDULES)
    check_number("optimizer.learning_rate", section.learning_rate, positive=True)
    check_number("optimizer.decay", section.decay)
    check_fraction("optimizer.momentum", section.momentum)
    if not 0 <= section.warm_up < 1:
        raise ValueError(f"optimizer.warm_up must be a share of all steps in [0, 1), got {section.warm_up!r}.")
    for epoch in section.boundaries:
        check_number("an epoch of optimizer.boundaries", epoch)


def check_evaluation(config):
    """Raises a ValueError if what a config says of the evaluation cannot be.

    Args:
        config: ml_collections ConfigDict, see configs/base.py.
    """
    section = config.evaluation
    macs, freeze = section.get("macs", 0.0), section.get("freeze", 0.0)
    check_count("evaluation.twin_images", section.twin_images)
    check_fraction("evaluation.usage", section.usage)
    check_number("evaluation.macs", macs)
    for limit in section.get("limits", ()):
        check_number("a limit of evaluation.limits", limit, positive=True)
    if section.usage and macs:
        raise ValueError(
            f"thresholds are fitted to evaluation.usage or to evaluation.macs, got {section.usage} and {macs:,.0f}; "
            "set one of them to 0."
        )
    if freeze and config.method.name != "activation_gating":
        raise ValueError(f"evaluation.freeze is for gates, got method {config.method.name!r}; set it to 0.")
    if not 0 <= freeze < 0.5:
        raise ValueError(f"evaluation.freeze must be a share of the images under one half, got {freeze!r}.")
