"""How a config's fixed pattern is built, scheduled and measured: finetuning with the same units on all images."""

from keras_dynamic.deciders import DistributeK, FirstK, Pattern, RandomK
from keras_dynamic.deciders.fixed import Fixed
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.layers.decider import check_names
from keras_dynamic.messages import did_you_mean
from keras_dynamic.methods.method import Method

PATTERNS = ("first_k", "random_k", "distribute_k", "units")


def build(config, network, teacher, seed):
    """Fixes which units of a network run; those that never do are frozen, as nothing would train them.

    Args:
        config: a config's `method` section, see configs/blockdrop.py:resnet32_cpu_baselines.
        network: DynamicModel whose chain is trained.
        teacher: network to distil from; None for none.
        seed: of random_k's draw.

    Returns:
        Method.

    Raises:
        ValueError: if an argument is out of range.
    """
    decider = fixed_decider(config, network.chain, seed)
    for unit in network.chain.units:
        unit.trainable = decider.pattern(network.chain.skippable_names).get(unit.name, True)
    return Method(
        network.chain,
        decider,
        **shared_arguments(config, teacher),
        name="fixed",
    )


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
    if config.pattern not in PATTERNS:
        suggestion = did_you_mean(config.pattern, PATTERNS)
        raise ValueError(f"method.pattern must be one of {PATTERNS}, got {config.pattern!r}{suggestion}.")
    if config.pattern == "units":
        check_names(config.units, chain, "method.units")
        return Pattern({name: name in config.units for name in chain.skippable_names})
    if config.pattern == "random_k":
        return RandomK(config.k, seed)
    return (FirstK if config.pattern == "first_k" else DistributeK)(config.k)


def schedule(config, model, steps_per_epoch):
    """Returns no callbacks; the best epoch is the most accurate one.

    Args:
        config: ml_collections ConfigDict.
        model: Method.
        steps_per_epoch: batches per epoch.

    Returns:
        Schedule.
    """
    return Schedule([], 0, "val_accuracy")


def figures(model, config, splits, evaluation) -> dict:
    """Returns no figures of its own."""
    return {}
