"""Overhead of compact execution, and of deciders in a training step."""

import time

import keras
import numpy as np

from keras_dynamic.deciders import Confidence, PerUnitGates, Stochastic
from keras_dynamic.evaluation.evaluate import compiled_outcome
from keras_dynamic.evaluation.exits import exit_answers
from keras_dynamic.evaluation.part_times import parts_of, shares_run, time_of_what_runs
from keras_dynamic.experiments.networks import build_network, title
from keras_dynamic.experiments.records import write_record
from keras_dynamic.experiments.run import Run
from keras_dynamic.experiments.splits import load_splits
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import resnet_cifar
from keras_dynamic.ops import quantile_thresholds
from keras_dynamic.serving.compact import compact
from keras_dynamic.transform import attach_exits

WARM_UP = 2
"""Rounds that are not counted: they compile."""


def interleave(functions, rounds) -> dict[str, np.ndarray]:
    """Times each function once per round, one after the other.

    Args:
        functions: {name: function ()}, each of which returns when its work is done.
        rounds: rounds that count; WARM_UP others come first.

    Returns:
        {name: seconds, float array [rounds]}.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + WARM_UP):
        for name, function in functions.items():
            before = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - before)
    return {name: np.array(values[WARM_UP:]) for name, values in times.items()}


def compact_time(config, workdir=None, data_dir=None, record=None) -> dict:
    """Times the compact execution of a network with exits, and of one with units to skip, on one batch of test images.

    Both are made of the config's network: one gets exits, whose thresholds make images stop at all of them alike (their
    heads are not trained, as times don't depend on it); of the other a share of the units runs, at random, for each
    image anew. Every system, its static network and each part of it run in turn in one process, on CPU.

    The config has network, data, batch_size, rounds, exits (after: names of units), units (open_probability), targets
    and seed.

    Returns:
        throughput_static (of the network itself), throughput_exits and throughput_units, images per second;
        overhead_exits and overhead_units, the time over that of what the images run, see evaluation.part_times; and
        difference, the largest one of a logit between the compact and the masked execution.

    Raises:
        ValueError: if the data set has fewer test images than a batch.
    """
    start = time.monotonic()
    keras.utils.set_random_seed(config.seed)
    splits = load_splits(config.data, data_dir)
    images = splits.test[0][: config.batch_size].astype("float32")
    if len(images) < config.batch_size:
        raise ValueError(
            f"batch_size must be at most the {len(images)} test images of {config.data.name!r}, got "
            f"{config.batch_size}; lower it."
        )
    network = build_network(config.network)
    systems = {
        "exits": with_exits(network, config.exits.after, splits.held_out[0]),
        "units": with_random_units(network, config.units.open_probability, config.seed),
    }
    figures = measure(network, systems, images, config.rounds)
    print("\n".join(f"{name} {value:.4g}" for name, value in figures.items()))
    if record:
        label = f"{title(config.network)} in batches of {config.batch_size}: {len(config.exits.after)} exits; "
        label += f"{config.units.open_probability:.0%} of the units"
        data = f"{config.data.name}, {config.batch_size} test images, {config.rounds} runs of each in turn"
        targets = config.targets.to_dict()
        write_record(record, "serving", label, data, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


def with_exits(network, after, held_out) -> DynamicModel:
    """Returns a network with untrained exits after these units, at each of which as many held-out images stop."""
    model = _built(DynamicModel(attach_exits(network, list(after), filters=0).chain, Confidence()), network)
    left = np.arange(len(after), 0, -1)  # exits after each
    model.decider.set_thresholds(quantile_thresholds(exit_answers(model, held_out).confidences, left / (left + 1)))
    return model


def with_random_units(network, open_probability, seed) -> DynamicModel:
    """Returns a network of which each image runs each unit with this probability, whatever it shows."""
    gates = PerUnitGates(data_dependent=False, open_probability=open_probability)
    return _built(DynamicModel(network.chain, Stochastic(gates, seed=seed)), network)


def measure(network, systems, images, rounds) -> dict[str, float]:
    """Times systems beside their static networks and parts, and compares their logits with the masked execution's.

    Args:
        network: built DynamicModel that runs everything.
        systems: {name: built DynamicModel}.
        images: one batch, float32 [n, height, width, channels].
        rounds: how often each is timed.

    Returns:
        What compact_time returns, for the names of the systems.
    """
    images = keras.ops.convert_to_tensor(images)
    calls, difference = {"static": _everything(network, images)}, 0.0
    parts = {name: parts_of(model, images) for name, model in systems.items()}
    taken: dict[str, list] = {name: [] for name in systems}  # decisions of each run
    for name, model in systems.items():
        run = compact(model)
        found = run(images)
        masked = compiled_outcome(model)(images, found.decisions)
        difference = max(difference, float(keras.ops.max(keras.ops.abs(found.logits - masked.logits))))
        calls[f"{name} compact"] = lambda run=run, own=taken[name]: own.append(run(images).decisions)
        calls[f"{name} static"] = _everything(model, images)
        calls |= {f"{name} part {part}": value.call for part, value in parts[name].items()}
    seconds = {name: float(np.median(values)) for name, values in interleave(calls, rounds).items()}
    figures = {"throughput_static": len(images) / seconds["static"]}
    for name, own in parts.items():
        each = [shares_run(own, decisions) for decisions in taken[name][-rounds:]]
        shares = {part: float(np.mean([share[part] for share in each])) for part in own}
        alone = {part: seconds[f"{name} part {part}"] for part in own}
        spent = seconds[f"{name} compact"]
        figures[f"throughput_{name}"] = len(images) / spent
        figures[f"overhead_{name}"] = spent / time_of_what_runs(seconds[f"{name} static"], alone, shares)
    return figures | {"difference": difference}


def _everything(model, images):
    """Returns a function () that runs all of a network, exits included, on the images."""
    outcome = compiled_outcome(_built(DynamicModel(model.chain), model))
    return lambda: outcome(images, None)


def _built(model, like):
    model.build(like.image_shape)
    return model


def step_time(config, workdir=None, data_dir=None, record=None) -> dict:
    """Times train_on_batch of a dynamic network beside what it is bounded by, each in turn on the same images.

    For gates that is a step of the plain Keras network with the same layers. For BlockDrop's curriculum it is two
    forward passes of the network and one step of its policy network alone.

    The config has network, method, batch_size, steps and seed.

    Returns:
        {'step_ms_plain', 'step_ms_gated', 'step_ratio'}, or {'forward_ms', 'policy_step_ms', 'step_ms_curriculum',
        'step_ratio'}: medians over the steps.
    """
    start = time.monotonic()
    keras.utils.set_random_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    x = rng.integers(0, 256, (config.batch_size, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, config.batch_size)
    run = Run(config)
    model = _compiled(run.model)
    if config.method.name == "blockdrop":
        if config.method.stage != "curriculum" or config.method.policy == "sequential":
            raise ValueError(
                "a step is timed beside its parts in the curriculum of a policy network, got method.stage="
                f"{config.method.stage!r} and method.policy={config.method.policy!r}; change them."
            )
        what, network = "BlockDrop's curriculum", run.reference
        policy = keras.models.clone_model(model.decider.network)
        policy.build(x.shape)
        policy.compile(_sgd(), "mse")
        wanted = np.zeros((len(x), len(model.decider.names)), np.float32)
        calls = {
            "forward_ms": lambda: network.predict_on_batch(x),
            "policy_step_ms": lambda: policy.train_on_batch(x, wanted),
            "step_ms_curriculum": lambda: model.train_on_batch(x, y),
        }
        times = interleave(calls, config.steps)
        ratios = times["step_ms_curriculum"] / (2 * times["forward_ms"] + times["policy_step_ms"])
    else:
        what, plain = "masked training", _compiled(plain_keras(config.network.depth))
        calls = {
            "step_ms_plain": lambda: plain.train_on_batch(x, y),
            "step_ms_gated": lambda: model.train_on_batch(x, y),
        }
        times = interleave(calls, config.steps)
        ratios = times["step_ms_gated"] / times["step_ms_plain"]
    figures = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
    figures["step_ratio"] = float(np.median(ratios))
    print(", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    if record:
        label = f"ResNet-{config.network.depth}, {what}, {keras.backend.backend()}"
        data = f"random images, batch {config.batch_size}, {config.steps} steps each in turn"
        method, targets = run.recipe.names(config.method)[0], {"step_ratio": "<= 1.15"}
        write_record(record, method, label, data, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


def _compiled(model):
    model.compile(_sgd(), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def _sgd():
    return keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)


def plain_keras(depth) -> keras.Model:
    """Returns the functional Keras model with the layers of resnet_cifar and nothing of this package around them.

    Args:
        depth: 6 n + 2.
    """
    chain = resnet_cifar(depth).chain
    image = keras.Input((32, 32, 3))
    x = _in_turn(chain.stem, image)
    for unit in chain.units:
        skip = x
        if unit.shortcut is not None:
            skip = type(unit.shortcut).from_config({**unit.shortcut.get_config(), "name": f"{unit.name}_shortcut"})(x)
        x = keras.layers.ReLU()(keras.layers.Add()([_in_turn(unit.body, x), skip]))
    return keras.Model(image, _in_turn(chain.head, x), name=f"plain_resnet{depth}")


def _in_turn(block, x):
    """Calls a block's layers one after the other: blocks of one functional model could not share their names."""
    for layer in block.layers:
        x = layer(x)
    return x
