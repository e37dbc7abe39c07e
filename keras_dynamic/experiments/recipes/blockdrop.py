"""BlockDrop, its curriculum and its finetuning."""

import math

from keras_dynamic import zoo
from keras_dynamic.callbacks import AnnealTarget, Curriculum
from keras_dynamic.deciders import Policy, SequentialPolicy
from keras_dynamic.evaluation.budgets import tau_sweep
from keras_dynamic.experiments.networks import check_choice
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.methods import BlockDrop
from keras_dynamic.models import policy_recurrent, policy_resnet

POLICIES = ("resnet", "recurrent", "sequential")


def names(section):
    """Returns the method of the records and the title of the networks."""
    return "blockdrop", "BlockDrop"


def build(run):
    """Puts a policy on the run's network, see configs/blockdrop.py."""
    config, network = run.config.method, run.network()
    return BlockDrop(
        network.chain,
        _policy(config, network, run.config.seed),
        stage=config.stage,
        gamma=config.gamma,
        usage=_usage(config),
        hold=config.hold,
        hold_strength=config.hold_strength,
        policy_weight=config.policy_weight,
        entropy_weight=config.entropy_weight,
        batch_norm=config.batch_norm,
        **shared_arguments(run),
        name="blockdrop",
    )


def _usage(config):
    """Returns the usage to hold: a share, {unit: share}, or None."""
    return dict(config.usage) if hasattr(config.usage, "items") else config.usage or None


def _policy(config, network, seed):
    shared = {"alpha": config.alpha, "always": tuple(config.always), "seed": seed}
    check_choice("method.policy", config.policy, POLICIES)
    if config.policy == "sequential":
        return SequentialPolicy(config.open_probability, **shared)
    units = max(len(network.chain.skippable_names) - len(config.always), 1)
    trunk = zoo.load(config.policy_trunk) if config.policy_trunk else None
    make = policy_resnet if config.policy == "resnet" else policy_recurrent
    size, pool = network.image_shape[1], config.policy_pool or None
    return Policy(
        make(units, image_size=size, trunk=trunk, open_probability=config.open_probability, pool=pool), **shared
    )


def schedule(run, steps_per_epoch):
    """Returns curriculum and annealing; the best epoch is the one of highest held-out reward after both.

    Raises:
        ValueError: if they do not come to their end within the training.
    """
    config = run.config
    callbacks, first_kept = [], 0
    if config.method.stage == "curriculum":
        curriculum = Curriculum(**{name: value for name, value in config.curriculum.items() if value})
        callbacks.append(curriculum)
        opened = curriculum.epochs or curriculum.steps / steps_per_epoch
        first_kept = math.ceil(opened * (len(run.model.decider.names) - 1))
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


def measure(run, evaluation) -> dict:
    """Moves the policy's threshold over the test images, unless evaluation.inference is False."""
    return {"tau_sweep": tau_sweep(run.model, *run.splits.test)} if run.config.evaluation.inference else {}
