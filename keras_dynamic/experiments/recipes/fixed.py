"""A fixed pattern: finetuning with the same units on all images."""

from keras_dynamic.deciders import DistributeK, FirstK, Pattern, RandomK
from keras_dynamic.deciders.fixed import Fixed
from keras_dynamic.experiments.networks import check_choice
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.layers.decider import check_names
from keras_dynamic.methods.method import Method

PATTERNS = ("first_k", "random_k", "distribute_k", "units")


def names(section):
    """Returns the method of the records and the title of the networks."""
    return "blockdrop", "Fixed"


def build(run):
    """Fixes which units run; those that never do are frozen. See configs/blockdrop_baselines_resnet32.py."""
    chain = run.network().chain
    decider = fixed_decider(run.config.method, chain, run.config.seed)
    for unit in chain.units:
        unit.trainable = decider.pattern(chain.skippable_names).get(unit.name, True)
    return Method(chain, decider, **shared_arguments(run), name="fixed")


def fixed_decider(config, chain, seed=0) -> Fixed:
    """Makes the decider of a fixed pattern.

    Args:
        config: with pattern, one of PATTERNS; k, how many units run; units, the names of those that run instead, where
            the pattern is 'units'.
        chain: Chain.
        seed: of random_k's draw.

    Returns:
        Decider that decides every unit of the chain that can be skipped.

    Raises:
        ValueError: if the pattern is unknown, the chain has fewer units than k, or a unit is none of its own.
    """
    check_choice("method.pattern", config.pattern, PATTERNS)
    if config.pattern == "units":
        check_names(config.units, chain, "method.units")
        return Pattern({name: name in config.units for name in chain.skippable_names})
    if config.pattern == "random_k":
        return RandomK(config.k, seed)
    return (FirstK if config.pattern == "first_k" else DistributeK)(config.k)


def schedule(run, steps_per_epoch):
    """Returns a schedule without callbacks; the best epoch is the most accurate one."""
    return Schedule([], 0, "val_accuracy")


def measure(run, evaluation) -> dict:
    """Returns nothing: a fixed pattern has no figures of its own."""
    return {}
