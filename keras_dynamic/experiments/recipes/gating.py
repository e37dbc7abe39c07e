"""Activation gating of units, channel groups or both."""

import functools
from collections.abc import Callable

from keras_dynamic.callbacks import AnnealTarget
from keras_dynamic.deciders import ChannelGates, PerUnitGates
from keras_dynamic.evaluation.inference import inference_figures
from keras_dynamic.experiments.networks import check_choice
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.methods import ActivationGating
from keras_dynamic.transform.init_gates import init_gates_by_importance

_GATES: dict[str, Callable] = {
    "units": PerUnitGates,
    "channels": ChannelGates,
    "channels and units": functools.partial(ChannelGates, whole_units=True),
}


def names(section):
    """Returns the method of the records and the title of the networks, by what the gates switch."""
    return ("gating", "Gated") if section.get("gates", "units") == "units" else ("channels", "Channel-gated")


def build(run):
    """Gates the run's network, see configs/base.py."""
    config = run.config.method
    kind = config.get("gates", "units")
    check_choice("method.gates", kind, _GATES)
    gates = _GATES[kind](
        data_dependent=config.data_dependent,
        open_probability=config.open_probability,
        always=tuple(config.always),
        seed=run.config.seed,
        noise=config.gate_noise,
        gradient_scale=config.gate_gradient_scale,
        detached=config.get("gates_detached", False),
    )
    return ActivationGating(
        run.network().chain,
        gates,
        target=config.target if isinstance(config.target, (int, float)) else dict(config.target),
        activation_loss=config.activation_loss,
        const_quad=config.const_quad,
        activation_weight=config.activation_weight,
        variable_target=config.get("variable_target") or None,
        target_momentum=config.get("target_momentum", 0.99),
        **shared_arguments(run),
        name="gated",
    )


def schedule(run, steps_per_epoch):
    """Anneals the targets, after a ranking of the gates if the config asks for that.

    The best epoch is the most accurate one at the final targets.

    Raises:
        ValueError: if the targets do not come down within the training.
    """
    config, model = run.config, run.model
    annealed = AnnealTarget(config.anneal.a, config.anneal.k, config.anneal.start)
    first_kept = annealed.check_within(config.epochs, config.method.target)

    def rank(batches):  # on 2,000 images or so
        init_gates_by_importance(model, [batches[index] for index in range(min(len(batches), 16))])

    before = rank if config.method.get("init_gates_by_importance") else None
    return Schedule([annealed], first_kept, "val_accuracy", before)


def measure(run, evaluation) -> dict:
    """Compares the ways to run the gates on the test images, unless evaluation.inference is False."""
    if not run.config.evaluation.inference:
        return {}
    x, y = run.splits.test
    return inference_figures(run.model, x, y, seed=run.config.seed)
