"""How a config's BlockDrop is built, scheduled and measured."""

import math

from keras_dynamic import zoo
from keras_dynamic.callbacks import AnnealTarget, Curriculum
from keras_dynamic.deciders import Policy, SequentialPolicy
from keras_dynamic.evaluation.budgets import tau_sweep
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.messages import did_you_mean
from keras_dynamic.methods import BlockDrop
from keras_dynamic.models import policy_recurrent, policy_resnet

POLICIES = ("resnet", "recurrent", "sequential")


def build(config, network, teacher, seed):
    """Puts a policy on a network.

    Args:
        config: a config's `method` section, see configs/blockdrop.py.
        network: DynamicModel whose units are dropped.
        teacher: network to distil from; None for none.
        seed: of the policy's samples.

    Returns:
        BlockDrop.

    Raises:
        ValueError: if an argument is out of range, or a zoo name is unknown.
    """
    return BlockDrop(
        network.chain,
        _policy(config, network, seed),
        stage=config.stage,
        gamma=config.gamma,
        usage=_usage(config),
        hold=config.hold,
        hold_strength=config.hold_strength,
        policy_weight=config.policy_weight,
        entropy_weight=config.entropy_weight,
        batch_norm=config.batch_norm,
        **shared_arguments(config, teacher),
        name="blockdrop",
    )


def _usage(config):
    """Returns the usage to hold: a share, {unit: share}, or None."""
    return dict(config.usage) if hasattr(config.usage, "items") else config.usage or None


def _policy(config, network, seed):
    shared = {"alpha": config.alpha, "always": tuple(config.always), "seed": seed}
    if config.policy not in POLICIES:
        raise ValueError(
            f"method.policy must be one of {POLICIES}, got {config.policy!r}{did_you_mean(config.policy, POLICIES)}."
        )
    if config.policy == "sequential":
        return SequentialPolicy(config.open_probability, **shared)
    units = max(len(network.chain.skippable_names) - len(config.always), 1)
    trunk = zoo.load(config.policy_trunk) if config.policy_trunk else None
    make = policy_resnet if config.policy == "resnet" else policy_recurrent
    size = network.image_shape[1]
    pool = config.policy_pool or None
    made = make(units, image_size=size, trunk=trunk, open_probability=config.open_probability, pool=pool)
    return Policy(made, **shared)


def schedule(config, model, steps_per_epoch):
    """Returns curriculum and annealing; the best epoch is the one of highest held-out reward after both.

    Args:
        config: ml_collections ConfigDict with `method`, `curriculum` and `anneal`.
        model: BlockDrop.
        steps_per_epoch: batches per epoch.

    Returns:
        Schedule.

    Raises:
        ValueError: if they do not come to their end within the training.
    """
    callbacks, first_kept = [], 0
    if config.method.stage == "curriculum":
        curriculum = Curriculum(**{name: value for name, value in config.curriculum.items() if value})
        units = len(model.decider.names)
        callbacks.append(curriculum)
        opened = curriculum.epochs or curriculum.steps / steps_per_epoch
        first_kept = math.ceil(opened * (units - 1))
        if first_kept >= config.epochs:
            raise ValueError(
                f"the curriculum opens its last unit in epoch {first_kept + 1} only, but epochs is {config.epochs}; "
                "train longer, or lower curriculum.epochs or curriculum.steps."
            )
    if config.method.usage and config.anneal.a:
        annealed = AnnealTarget(config.anneal.a, config.anneal.k, config.anneal.start)
        callbacks.append(annealed)
        first_kept = max(first_kept, annealed.check_within(config.epochs, _usage(config.method)))
    return Schedule(callbacks, first_kept, "val_reward")


def figures(model, config, splits, evaluation) -> dict:
    """Moves the policy's threshold over the test images.

    Args:
        model: BlockDrop, trained.
        config: ml_collections ConfigDict.
        splits: experiments.Splits.
        evaluation: evaluation.Evaluation of the model on the test images.

    Returns:
        'tau_sweep', or nothing if evaluation.inference is False.
    """
    return {"tau_sweep": tau_sweep(model, *splits.test)} if config.evaluation.inference else {}
