"""DDI: units by one LSTM, groups of channels by small CNNs, and exits under limits."""

import keras

from keras_dynamic.callbacks import AnnealTarget, RequireFiniteLoss
from keras_dynamic.cost import given, priced
from keras_dynamic.deciders import ChannelCNNGates, CombinedDecider, Confidence, RecurrentGates
from keras_dynamic.evaluation.budgets import exit_figures, limit_figures
from keras_dynamic.experiments.networks import check_choice
from keras_dynamic.experiments.recipes.schedule import Schedule, shared_arguments
from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.dynamic_model import dtype_policy_scope
from keras_dynamic.lite import part_energy
from keras_dynamic.methods import DDI

GRAINS = ("both", "layers", "channels")


def names(section):
    """Returns the method of the records and the title of the networks."""
    return "ddi", "DDI"


def build(run):
    """Makes the run's network skip layers, channels or both, see configs/ddi.py."""
    config = run.config.method
    check_choice("method.grains", config.grains, GRAINS)
    return DDI(
        run.network().chain,
        _gates(run),
        alpha=config.alpha,
        target=config.target or None,
        balance=config.balance,
        table=_energy_table(run) if config.energy else None,
        **shared_arguments(run),
        name="ddi",
    )


def _gates(run):
    """Returns the deciders that the config's grains ask for."""
    config, gates = run.config.method, []
    common = {"open_probability": config.open_probability, "noise": config.gate_noise, "seed": run.config.seed}
    common["gradient_scale"] = config.gate_gradient_scale
    if config.grains != "channels":
        gates.append(RecurrentGates(**common))
    if config.grains != "layers":
        gates.append(ChannelCNNGates(config.gate_filters or None, config.gate_bottleneck or None, **common))
    return gates[0] if len(gates) == 1 else CombinedDecider(gates)


def _energy_table(run):
    """Returns the energy of each part, of a copy in float32 of what is trained."""
    with dtype_policy_scope("float32"):
        network = run.network()
        model = DynamicModel(network.chain, _gates(run))
        model.build(network.image_shape)
    return part_energy(model)


def schedule(run, steps_per_epoch):
    """Trains gates alone before the first epoch, then anneals the target, if there is one, while all are trained.

    The best epoch is the most accurate one at the final target.

    Raises:
        ValueError: if the target does not come down within the training, or gates are trained alone on several devices.
    """
    config, model = run.config, run.model
    if config.distribute and config.method.gate_epochs:
        raise ValueError(
            f"gates are trained alone on one device, got distribute={config.distribute!r} and gate_epochs="
            f"{config.method.gate_epochs}; set one of them to nothing."
        )

    def gates_alone(batches):
        model.freeze_network()
        run.compile(model, keras.optimizers.Adam(config.method.gate_learning_rate))
        model.fit(batches, epochs=config.method.gate_epochs, verbose=2, callbacks=[RequireFiniteLoss()])
        model.freeze_network(False)
        run.compile(model, run.optimizer(steps_per_epoch))

    before = gates_alone if config.method.gate_epochs else None
    if model.target is None:
        return Schedule([], 0, "val_accuracy", before)
    annealed = AnnealTarget(config.anneal.a, config.anneal.k, config.anneal.start)
    first_kept = annealed.check_within(config.epochs, config.method.target)
    return Schedule([annealed], first_kept, "val_accuracy", before)


def measure(run, evaluation) -> dict:
    """Measures the energy of the test images or, of a network with exits, what images reach under limits.

    Returns:
        'energy_share', of that of everything on; or exit_figures, 'limits' of limit_figures, and 'accuracy_limit1' and
        so on.
    """
    model, splits, limits = run.model, run.splits, list(run.config.evaluation.limits)
    if not model.chain.exit_names:
        tree = priced(model.cost_tree, part_energy(model))
        return {"energy_share": float(given(tree, evaluation.decisions).mean() / tree.total_macs)}
    stopping = DynamicModel(model.chain, CombinedDecider([model.decider, Confidence("entropy")]), name=model.name)
    stopping.build(model.image_shape)
    x, y = splits.test
    rows = limit_figures(stopping, x, y, limits)
    reached = {f"accuracy_limit{k}": row["accuracy"] for k, row in enumerate(rows, 1)}
    return exit_figures(stopping, splits.held_out, splits.test) | {"limits": rows} | reached
