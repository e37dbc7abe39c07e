"""How a config builds, schedules and measures SGAD."""

import keras
import numpy as np

from keras_dynamic.callbacks import GrowNoise
from keras_dynamic.deciders import BinaryMaskNetwork
from keras_dynamic.evaluation.budgets import tau_sweep
from keras_dynamic.evaluation.gradients import gradient_magnitudes
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.experiments.splits import first_images
from keras_dynamic.methods import SGAD, fit_guideline
from keras_dynamic.metrics import rank_correlation, units_run
from keras_dynamic.ops import softmax_variance


def guideline_figures(model, x, decisions, batch_size=250) -> dict:
    """Compares what a guideline asks for with the units that images run.

    Args:
        model: built methods.SGAD.
        x: images, [n, height, width, channels], n at least 2.
        decisions: {unit name: 0/1 array [n]} that the model took for them.
        batch_size: images at a time.

    Returns:
        'expected_units_mean': units that an image should run according to the guideline, or to the constant_ratio in
        its place, mean over the images, those units included that always run; and where there is a guideline,
        'rank_correlation' (Spearman) between the units that an image runs and its difficulty for the guideline, which
        is minus the variance of equation 9.

    Source: SGAD, equations 9 and 11.
    """
    units = len(model.chain.skippable_names)
    if model.guideline is None:
        return {"expected_units_mean": (1 - model.constant_ratio) * units}
    ratios, variances = [], []
    for start in range(0, len(x), batch_size):
        images = keras.ops.convert_to_tensor(x[start : start + batch_size])
        ratio, logits = model.expected_ratio(images, training=False)
        ratios.append(keras.ops.convert_to_numpy(ratio))
        variances.append(keras.ops.convert_to_numpy(softmax_variance(logits)))
    return {
        "expected_units_mean": float((1 - np.concatenate(ratios).mean()) * units),
        "rank_correlation": rank_correlation(-np.concatenate(variances), units_run(decisions)),
    }


_GRADIENT_IMAGES = 2000


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
    last = network.chain.skippable_names[-1:]
    decider = BinaryMaskNetwork(
        always=(*config.always, *last),
        open_probability=config.open_probability,
        estimator=config.estimator,
        gradient_scale=config.mask_gradient_scale,
        seed=seed,
    )
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
    """Returns the growing noise, and the guideline's epochs before the first one if the config has any.

    The last epoch is kept, as an earlier one may be more accurate by running more units.

    Args:
        config: ml_collections ConfigDict with `noise`, `epochs` and `method`.
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
    if noise.first > noise.last:
        raise ValueError(
            f"noise must not fall, got noise.first={noise.first} and noise.last={noise.last}; exchange them."
        )
    grown = GrowNoise(np.linspace(noise.first, noise.last, noise.epochs))
    epochs, sure = config.method.guideline_epochs, config.method.guideline_noise
    before = (lambda batches: fit_guideline(model, batches, epochs, noise=sure)) if epochs else None
    return Schedule([grown], config.epochs - 1, "val_accuracy", before)


def figures(model, config, splits, evaluation) -> dict:
    """Measures the guideline against what runs, other thresholds, and, where that was trained, the plain network.

    Args:
        model: SGAD, trained.
        config: ml_collections ConfigDict with `network` and `evaluation`.
        splits: experiments.Splits.
        evaluation: evaluation.Evaluation of the model on the test images.

    Returns:
        guideline_figures on the test images, and 'tau_sweep' unless evaluation.inference is False; and if the config's
        network has weights, on TensorFlow, 'gradient_magnitudes' {unit name: float} of it on the first training images.

    Source: SGAD, section 4.1 and figure 4.
    """
    from keras_dynamic.experiments.build import build_network  # late, as it imports this module

    found = guideline_figures(model, splits.test[0], evaluation.decisions)
    if config.evaluation.inference:
        found["tau_sweep"] = tau_sweep(model, *splits.test)
    if config.network.weights and keras.backend.backend() == "tensorflow":
        x, y = first_images(splits, _GRADIENT_IMAGES)
        found["gradient_magnitudes"] = gradient_magnitudes(build_network(config.network), x, y)
    return found
