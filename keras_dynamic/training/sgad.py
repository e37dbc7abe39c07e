"""How a config's SGAD is built and scheduled."""

import numpy as np

from keras_dynamic.callbacks import GrowNoise
from keras_dynamic.deciders import BinaryMaskNetwork
from keras_dynamic.methods import SGAD
from keras_dynamic.training.schedule import Schedule, shared_arguments


def build(config, network, teacher, seed):
    """Puts a BinaryMaskNetwork and a guideline on a network.

    Args:
        config: a config's `method` section, see configs/sgad.py.
        network: DynamicModel whose units are dropped.
        teacher: network to distil from; None for none.
        seed: of the noise.

    Returns:
        SGAD.

    Raises:
        ValueError: if an argument is out of range.
    """
    decider = BinaryMaskNetwork(open_probability=config.open_probability, estimator=config.estimator, seed=seed)
    return SGAD(
        network.chain,
        decider,
        s_max=config.s_max,
        constant_ratio=None if config.guided else config.constant_ratio,
        mask_weight=config.mask_weight,
        guideline_weight=config.guideline_weight,
        task_weight=config.task_weight,
        **shared_arguments(config, teacher),
        name="sgad",
    )


def schedule(config, model, steps_per_epoch):
    """Returns the growing noise; the last epoch is kept, as an earlier one may be more accurate by running more units.

    Args:
        config: ml_collections ConfigDict with `noise` and `epochs`.
        model: SGAD.
        steps_per_epoch: batches per epoch.

    Returns:
        Schedule.

    Raises:
        ValueError: if the noise falls, or grows for longer than the training.
    """
    noise = config.noise
    if not 1 <= noise.epochs <= config.epochs:
        raise ValueError(f"noise.epochs must be from 1 to epochs, {config.epochs}, got {noise.epochs}.")
    grown = GrowNoise(np.linspace(noise.first, noise.last, noise.epochs))
    return Schedule([grown], config.epochs - 1, "val_accuracy")
