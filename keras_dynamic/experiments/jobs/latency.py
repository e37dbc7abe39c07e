"""Latency of channel groups and of exits in TFLite files."""

import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_dynamic import lite, zoo
from keras_dynamic.deciders import ChannelGates
from keras_dynamic.experiments.jobs.evaluate_static import data_text
from keras_dynamic.experiments.records import facts, flat, write_record
from keras_dynamic.experiments.splits import load_splits
from keras_dynamic.files import write_bytes, write_json
from keras_dynamic.layers import Chain, ChannelGroups, DynamicModel, Residual
from keras_dynamic.lite.benchmark import answers, checked_labels, measure_budgets, measure_exits
from keras_dynamic.lite.variants import driven, with_outputs
from keras_dynamic.report import style
from keras_dynamic.report.curve_pictures import exits_against_milliseconds
from keras_dynamic.report.measure import PRECISIONS
from keras_dynamic.transform import until_exit


def channel_latency(config, workdir=None, data_dir=None, record=None) -> dict:
    """Times units with channel groups, 1, 2, ... of them on, in turn with the same units without groups.

    Once the groups are inputs of the file, so that no gate runs, and once data-dependent gates decide, whose biases
    make sure of the same groups. Random weights and images: time does not depend on them.

    The config has channels, size, units, granularity, on (the numbers of groups that are on), rounds, targets and
    seed.

    Returns:
        {'ratio_K_PRECISION', 'ratio_with_gates_K_PRECISION'} for K groups on, and 'static_ms_PRECISION'.
    """
    start = time.monotonic()
    keras.utils.set_random_seed(config.seed)
    images = np.random.default_rng(config.seed).integers(0, 256, (50, config.size, config.size, 3)).astype(np.uint8)
    figures: dict[str, float] = {}
    for precision, quantize in PRECISIONS.items():
        figures |= {f"{name}_{precision}": value for name, value in _ratios(config, quantize, images).items()}
    print("\n".join(f"{name} {value:.3f}" for name, value in figures.items()))
    if record:
        label = f"{config.units} units of {config.channels} channels, groups of {config.granularity}"
        data = f"random images of {config.size} pixels, {config.rounds} runs of each in turn"
        targets = config.targets.to_dict()
        write_record(record, "channels", label, data, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


def _ratios(config, quantize, images) -> dict:
    chain = _chain(config)
    static, gated = DynamicModel(chain), DynamicModel(chain, ChannelGates(seed=config.seed))
    for model in (static, gated):
        model.build((None, config.size, config.size, 3))
    exported = {"static": lite.export(static, quantize, images)}
    for count in config.on:
        for gate in gated.decider.gates.values():
            on = np.arange(1, gate.groups + 1) < count  # the first group is forced
            gate.bias.assign(np.concatenate([np.zeros(gate.groups), np.where(on, 20.0, -20.0)]))
        file = lite.export(gated, quantize, images, outputs=("logits", "decisions"), fold="never")
        exported[f"ratio_{count}"] = driven(file)
        exported[f"ratio_with_gates_{count}"] = with_outputs(file, ["logits"])
    runners = {name: lite.Interpreter(content) for name, content in exported.items()}
    for name, runner in runners.items():
        count = int(name.rsplit("_", 1)[1]) if name != "static" else 0
        given = {port: value for port, value in runner.inputs.items() if port != "image"}
        numbers = {port: int(port.split("[")[1].rstrip("]")) for port in given}
        runner.set(images[0], **{port: np.full(given[port].shape, numbers[port] < count) for port in given})
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(config.rounds):
        for name, runner in runners.items():
            runner.invoke()  # not timed: the first run after another model finds cold caches
            before = time.perf_counter()
            runner.invoke()
            times[name].append(time.perf_counter() - before)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    ratios = {name: value / medians["static"] for name, value in medians.items() if name != "static"}
    return {"static_ms": 1e3 * medians["static"], **ratios}


def _chain(config):
    """Returns a chain that is almost nothing but units with channel groups."""

    def part(relu):
        convolution = layers.Conv2D(config.channels, 3, padding="same", use_bias=False)
        return [convolution, layers.BatchNormalization(), *([layers.ReLU()] if relu else [])]

    units = [
        Residual(ChannelGroups(part(True), part(False), config.granularity), activation="relu", name=f"unit{k + 1}")
        for k in range(config.units)
    ]
    stem = [layers.Rescaling(1 / 255), layers.Conv2D(config.channels, 1, activation="relu")]
    return Chain(stem, units, [layers.GlobalAveragePooling2D(), layers.Dense(10)])


def exit_latency(config, workdir, data_dir=None, record=None) -> dict:
    """Exports a network with exits, its thresholds an input, and each exit as a static model, and measures them.

    The folder gets the .tflite files, figures.json, and a picture of accuracy against milliseconds for each precision.

    The config has model ('zoo:NAME' or the path of a .keras file, in which environment variables are expanded),
    data, budgets (how many), micro (whether to measure memory on TensorFlow Lite Micro), targets and seed.

    Returns:
        {'float32', 'int8': {'exits', their names; what measure_exits and measure_budgets give; 'accuracies' of the
        static models, 'latency_ratio_max', 'arena_bytes', 'arena_static_bytes', 'arena_ratio'}}.

    Raises:
        ValueError: if the model does not decide its exits alone, by confidence.
    """
    start = time.monotonic()
    model, splits, folder = load_model(config.model), load_splits(config.data, data_dir), Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        precision: _measured(model, quantize, splits, config, folder / precision)
        for precision, quantize in PRECISIONS.items()
    }
    write_json(folder / "figures.json", figures | facts(data_text(config, splits), config.seed))
    numbers = flat({precision: _named(found) for precision, found in figures.items()})
    print("\n".join(f"{name} {value:.4g}" for name, value in numbers.items()))
    if record:
        name, data = f"{model.name} as TFLite, exits alone decided", data_text(config, splits)
        targets = config.targets.to_dict()
        write_record(record, "serving", name, data, config.to_dict(), numbers, targets, time.monotonic() - start)
    return figures


def load_model(spec):
    """Returns the model of a config: 'zoo:NAME', or the path of a .keras file, in which variables are expanded."""
    if spec.startswith("zoo:"):
        return zoo.load(spec.removeprefix("zoo:"))
    path = Path(os.path.expandvars(spec))
    if not path.is_file():
        raise FileNotFoundError(f"model names {str(path)!r}, which is no file; train it, or name one of the zoo.")
    return keras.models.load_model(path, compile=False)


def _measured(model, quantize, splits, config, path) -> dict:
    """Exports and measures in one precision; files and picture begin with the path's name."""
    calibration, (x, y) = splits.held_out[0], splits.test
    outputs = ("logits", "decisions", "macs")
    dynamic = lite.export(model, quantize, calibration, outputs, thresholds="input")
    static = [until_exit(model, name) for name in model.chain.exit_names] + [DynamicModel(model.chain, name="head")]
    alone = [lite.export(each, quantize, calibration) for each in static]
    write_bytes(path.with_name(f"dynamic_{path.name}.tflite"), dynamic)
    for each, content in zip(static, alone, strict=True):
        write_bytes(path.with_name(f"{each.name}_{path.name}.tflite"), content)
    timed = lite.with_outputs(dynamic, ["logits", "decisions"])
    figures: dict[str, Any] = {"exits": [*model.chain.exit_names, "head"]}
    figures |= measure_exits(timed, alone, x, seed=config.seed)
    figures["latency_ratio_max"] = max(figures["exit_latency_ratio"])
    figures |= measure_budgets(timed, alone[-1], x, y, config.budgets, seed=config.seed)
    labels = checked_labels(timed, x, y)
    early = [float((answers(each, x).logits.argmax(-1) == labels).mean()) for each in alone[:-1]]
    figures["accuracies"] = [*early, figures["accuracy_static"]]
    if config.micro:
        whole, last = (lite.MicroInterpreter(each).arena_bytes() for each in (timed, alone[-1]))
        figures |= {"arena_bytes": whole, "arena_static_bytes": last, "arena_ratio": whole / last}
    write_bytes(path.with_suffix(".png"), style.png(exits_against_milliseconds(figures)))
    return figures


def _named(found) -> dict:
    """Returns one precision's figures as a record has them: a name and a number each, exits and budgets from 1."""
    numbers = {name: value for name, value in found.items() if isinstance(value, (int, float))}
    for name in ("exit_ms", "exit_static_ms", "exit_latency_ratio"):
        what = name.removeprefix("exit_")
        numbers |= {f"exit{k}_{what}": value for k, value in enumerate(found[name], 1)}
    numbers |= {f"accuracy_exit{k}": value for k, value in enumerate(found["accuracies"], 1)}
    for k, row in enumerate(found["budgets"], 1):
        numbers |= {f"macs_budget{k}": row["budget"], f"kept_budget{k}": row["kept"]}
        numbers |= {f"accuracy_budget{k}": row["accuracy"], f"budget{k}_ms": row["ms"]}
    return numbers
