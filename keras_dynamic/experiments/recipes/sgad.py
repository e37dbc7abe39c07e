"""SGAD: a network of binary masks, and the guideline that it is trained by."""

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

_GRADIENT_IMAGES = 2000


def names(section):
    """Returns the method of the records and the title of the networks."""
    return "sgad", "SGAD"


def build(run):
    """Puts a BinaryMaskNetwork and a guideline on the run's network, see configs/sgad.py."""
    config, chain = run.config.method, run.network().chain
    decider = BinaryMaskNetwork(
        always=(*config.always, *chain.skippable_names[-1:]),
        open_probability=config.open_probability,
        estimator=config.estimator,
        gradient_scale=config.mask_gradient_scale,
        seed=run.config.seed,
    )
    return SGAD(
        chain,
        decider,
        s_max=config.s_max,
        constant_ratio=None if config.guided else config.constant_ratio,
        mask_weight=config.mask_weight,
        guideline_weight=config.guideline_weight,
        task_weight=config.task_weight,
        **shared_arguments(run),
        name="sgad",
    )


def schedule(run, steps_per_epoch):
    """Returns the growing noise, and the guideline's epochs before the first one if the config has any.

    The last epoch is kept, as an earlier one may be more accurate by running more units.

    Raises:
        ValueError: if the noise falls, or grows for longer than the training.
    """
    config, noise = run.config, run.config.noise
    if not 1 <= noise.epochs <= config.epochs:
        raise ValueError(f"noise.epochs must be from 1 to epochs, {config.epochs}, got {noise.epochs}.")
    if noise.first > noise.last:
        raise ValueError(
            f"noise must not fall, got noise.first={noise.first} and noise.last={noise.last}; exchange them."
        )
    grown = GrowNoise(np.linspace(noise.first, noise.last, noise.epochs))
    model, epochs, magnitude = run.model, config.method.guideline_epochs, config.method.guideline_noise
    before = (lambda batches: fit_guideline(model, batches, epochs, noise=magnitude)) if epochs else None
    return Schedule([grown], config.epochs - 1, "val_accuracy", before)


def measure(run, evaluation) -> dict:
    """Measures the guideline against what runs, other thresholds, and, where that was trained, the plain network.

    Returns:
        guideline_figures on the test images, and 'tau_sweep' unless evaluation.inference is False; and if the config's
        network has weights, on TensorFlow, 'gradient_magnitudes' {unit name: float} of it on the first training images.

    Source: SGAD, section 4.1 and figure 4.
    """
    found = guideline_figures(run.model, run.splits.test[0], evaluation.decisions)
    if run.config.evaluation.inference:
        found["tau_sweep"] = tau_sweep(run.model, *run.splits.test)
    if run.config.network.weights and keras.backend.backend() == "tensorflow":
        found["gradient_magnitudes"] = gradient_magnitudes(run.reference, *first_images(run.splits, _GRADIENT_IMAGES))
    return found


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
