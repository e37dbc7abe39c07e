"""IMTA: the exits of a network trained together."""

import warnings

import keras

from keras_dynamic.deciders import Confidence
from keras_dynamic.evaluation.budgets import exit_figures
from keras_dynamic.evaluation.gradients import gradient_variances
from keras_dynamic.experiments.networks import check_choice
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.experiments.splits import first_images
from keras_dynamic.methods import IMTA
from keras_dynamic.transform import collaborate

PHASES = ("I", "II")
COLLABORATIONS = ("none", "identity", "dense")
_GRADIENT_IMAGES = 2048


def names(section):
    """Returns the method of the records and the title of the networks."""
    return "exits", "IMTA"


def build(run):
    """Makes the training of the network's exits, see configs/imta.py; the thresholds are infinite: everything runs."""
    config, network = run.config.method, run.network()
    check_choice("method.phase", config.phase, PHASES)
    check_choice("method.collaboration", config.collaboration, COLLABORATIONS)
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
        **shared_arguments(run),
        name="imta",
    )


def schedule(run, steps_per_epoch):
    """Returns a schedule without callbacks; the best epoch is that whose deepest trained exit is the most accurate."""
    if run.config.method.phase == "II" and not run.config.start_from:
        warnings.warn(
            "phase II trains the classifiers alone, on features that nobody has trained; give the run of phase I as "
            "start_from.",
            stacklevel=2,
        )
    chain = run.model.chain
    trained = [each.name for each in chain.exits if each.trainable_variables]
    frozen = trained and not any(part.trainable_variables for part in (chain.stem, *chain.units, chain.head))
    return Schedule([], 0, f"val_{trained[-1]}_accuracy" if frozen else "val_accuracy")


def measure(run, evaluation) -> dict:
    """Measures the exits, the curve of accuracy over mean MACs and, on TensorFlow, what varies in the gradients.

    Returns:
        exit_figures, and 'gradient_variances' on the first training images.
    """
    model, splits = run.model, run.splits
    found = exit_figures(model, splits.held_out, splits.test, model.decider.confidence)
    if keras.backend.backend() == "tensorflow":
        x, y = first_images(splits, _GRADIENT_IMAGES)
        found["gradient_variances"] = gradient_variances(model, x, y, model.exit_weights, run.config.batch_size)
    return found
