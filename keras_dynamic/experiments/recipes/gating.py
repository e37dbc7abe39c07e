"""How a config's activation gating is built, scheduled and measured."""

import functools
from collections.abc import Callable

from keras_dynamic.callbacks import AnnealTarget
from keras_dynamic.deciders import ChannelGates, PerUnitGates
from keras_dynamic.evaluation.inference import inference_figures
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.messages import did_you_mean
from keras_dynamic.methods import ActivationGating
from keras_dynamic.transform.init_gates import init_gates_by_importance


def build(config, network, teacher, seed):
    """Gates a network.

    Args:
        config: a config's `method` section, see configs/base.py.
        network: DynamicModel whose chain is gated.
        teacher: network to distil from; None for none.
        seed: of the gates' samples.

    Returns:
        ActivationGating.

    Raises:
        ValueError: if an argument is out of range.
    """
    both = functools.partial(ChannelGates, whole_units=True)
    kinds: dict[str, Callable] = {"units": PerUnitGates, "channels": ChannelGates, "channels and units": both}
    kind = config.get("gates", "units")
    if kind not in kinds:
        raise ValueError(f"method.gates must be one of {tuple(kinds)}, got {kind!r}{did_you_mean(kind, kinds)}.")
    gates = kinds[kind](
        data_dependent=config.data_dependent,
        open_probability=config.open_probability,
        always=tuple(config.always),
        seed=seed,
        noise=config.gate_noise,
        gradient_scale=config.gate_gradient_scale,
        detached=config.get("gates_detached", False),
    )
    return ActivationGating(
        network.chain,
        gates,
        target=config.target if isinstance(config.target, (int, float)) else dict(config.target),
        activation_loss=config.activation_loss,
        const_quad=config.const_quad,
        activation_weight=config.activation_weight,
        variable_target=config.get("variable_target") or None,
        target_momentum=config.get("target_momentum", 0.99),
        **shared_arguments(config, teacher),
        name="gated",
    )


def schedule(config, model, steps_per_epoch):
    """Returns the annealing of the targets, and the ranking of gates before it if the config asks for that.

    The best epoch is the most accurate one at the final targets.

    Args:
        config: ml_collections ConfigDict with `anneal` and `method`.
        model: ActivationGating.
        steps_per_epoch: batches per epoch.

    Returns:
        Schedule.

    Raises:
        ValueError: if the targets do not come down within the training.
    """
    annealed = AnnealTarget(config.anneal.a, config.anneal.k, config.anneal.start)
    first_kept = annealed.check_within(config.epochs, config.method.target)
    before = (
        (lambda batches: init_gates_by_importance(model, _first(batches)))
        if config.method.get("init_gates_by_importance")
        else None
    )
    return Schedule([annealed], first_kept, "val_accuracy", before)


def _first(batches):
    """Returns the first batches, of 2,000 images or so."""
    return [batches[index] for index in range(min(len(batches), 16))]


def figures(model, config, splits, evaluation) -> dict:
    """Compares the ways to run the gates on the test images.

    Args:
        model: ActivationGating, trained.
        config: ml_collections ConfigDict with `seed`.
        splits: experiments.Splits.
        evaluation: evaluation.Evaluation of the model on the test images.

    Returns:
        inference_figures, unless the config's evaluation.inference is False.
    """
    if not config.evaluation.inference:
        return {}
    x, y = splits.test
    return inference_figures(model, x, y, seed=config.seed)
