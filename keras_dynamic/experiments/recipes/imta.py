"""How a config's IMTA is built, scheduled and measured."""

import warnings

import keras

from keras_dynamic.deciders import Confidence
from keras_dynamic.evaluation.budgets import exit_figures
from keras_dynamic.evaluation.gradients import gradient_variances
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.experiments.splits import first_images
from keras_dynamic.messages import did_you_mean
from keras_dynamic.methods import IMTA
from keras_dynamic.transform import collaborate

PHASES = ("I", "II")
COLLABORATIONS = ("none", "identity", "dense")
_GRADIENT_IMAGES = 2048


def build(config, network, teacher, seed):
    """Trains a network's exits together; where an image stops is decided by confidence once thresholds are fitted.

    Args:
        config: a config's `method` section, see configs/imta.py.
        network: DynamicModel with exits.
        teacher: network to distil from besides the deepest exit; None for none.
        seed: not used: nothing is sampled.

    Returns:
        IMTA, whose thresholds are infinite: everything runs.

    Raises:
        ValueError: if an argument is out of range, or the network has no exits.
    """
    for key, known in (("phase", PHASES), ("collaboration", COLLABORATIONS)):
        if config[key] not in known:
            raise ValueError(
                f"method.{key} must be one of {known}, got {config[key]!r}{did_you_mean(config[key], known)}."
            )
    if config.collaboration != "none":
        network = collaborate(network, config.hidden if config.collaboration == "dense" else 0)
    return IMTA(
        network.chain,
        Confidence(config.confidence),
        exit_weights=list(config.exit_weights) or None,
        equilibrium=config.gradient_equilibrium,
        alpha=config.alpha,
        temperature=config.temperature,
        classifiers_only=config.phase == "II",
        **shared_arguments(config, teacher),
        name="imta",
    )


def schedule(config, model, steps_per_epoch):
    """Returns no callbacks; the best epoch is that whose deepest trained exit is the most accurate.

    Args:
        config: ml_collections ConfigDict with `start_from` and `method`.
        model: IMTA.
        steps_per_epoch: batches per epoch.

    Returns:
        Schedule.
    """
    if config.method.phase == "II" and not config.start_from:
        warnings.warn(
            "phase II trains the classifiers alone, on features that nobody has trained; give the run of phase I as "
            "start_from.",
            stacklevel=2,
        )
    chain = model.chain
    trained = [each.name for each in chain.exits if each.trainable_variables]
    frozen = trained and not any(part.trainable_variables for part in (chain.stem, *chain.units, chain.head))
    return Schedule([], 0, f"val_{trained[-1]}_accuracy" if frozen else "val_accuracy")


def figures(model, config, splits, evaluation) -> dict:
    """Measures the exits, the curve of accuracy over mean MACs and, on TensorFlow, what varies in the gradients.

    Args:
        model: IMTA, trained.
        config: ml_collections ConfigDict with `batch_size`.
        splits: experiments.Splits.
        evaluation: evaluation.Evaluation of the model on the test images.

    Returns:
        exit_figures, and 'gradient_variances' on the first training images.
    """
    found = exit_figures(model, splits.held_out, splits.test, model.decider.confidence)
    if keras.backend.backend() == "tensorflow":
        x, y = first_images(splits, _GRADIENT_IMAGES)
        found["gradient_variances"] = gradient_variances(model, x, y, model.exit_weights, config.batch_size)
    return found
