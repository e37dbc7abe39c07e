"""What each part of a network costs in a .tflite: milliseconds, measured here or on a device, and energy."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_dynamic.cost import DECIDER, check_table, energy
from keras_dynamic.deciders import Confidence
from keras_dynamic.evaluation.exits import exit_confidence, kept, with_tau
from keras_dynamic.files import write_bytes
from keras_dynamic.layers import DynamicModel
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.benchmark import LEAST_IMAGES, LEAST_REPEATS, Models, all_on_of, measure_latency
from keras_dynamic.lite.export import export
from keras_dynamic.lite.variants import unit_parts
from keras_dynamic.messages import check_number, did_you_mean

WHOLE = "whole"  # name of the file of all parts together


def part_times(model, x, quantize=None, calibration=None, repeats=LEAST_REPEATS) -> dict[str, float]:
    """Measures how long each part of a network takes in its .tflite on this machine, on one thread.

        table = kd.lite.part_times(model, x_held_out, quantize="int8")
        kd.evaluation.fit_budget(model, x_held_out, y_held_out, ms=0.4, table=table)

    Args:
        model: built DynamicModel, such as a Cascade.
        x: inputs, at least 200, [n, ...].
        quantize: as in export.
        calibration: inputs for int8, as in export; None for x.
        repeats: of each of 200 inputs.

    Returns:
        {part: milliseconds}: 'stem', the names of units and exits, 'head', and 'decider', what the decisions take in
        all. The times of the others add up to that of the network in which everything runs. Thresholds at which
        nothing is decided, such as those before any fit, are 0.5 meanwhile.

    Raises:
        ValueError: as export; if there are fewer than 200 inputs, exits that nothing decides, a network inside of a
            cascade that decides itself, or two parts of one name.
    """
    _check(model)
    how = (quantize, x if calibration is None else calibration)
    with kept(model):
        for decider in with_tau(model):
            if not 0 < float(decider.tau) < 1:
                decider.set_tau(0.5)
        certain = model.decider if isinstance(model.decider, Confidence) else exit_confidence(model)
        if certain is not None:
            before = np.asarray(certain.thresholds)
            certain.set_thresholds(np.where(np.isfinite(before) & (before > certain.lowest), before, 0.5))
        dynamic, all_on = export(model, *how, ("logits", "decisions")), all_on_of(model, *how)
    found = measure_latency(Models(all_on, dynamic, all_on), np.asarray(x)[:LEAST_IMAGES], repeats)
    return {**found["unit_ms"], DECIDER: found["decider_ms"]}


def _check(model):
    """Raises a ValueError unless a model has parts of its own names, all of which a file with everything on has."""
    if not isinstance(model, DynamicModel):
        raise ValueError(
            f"parts are those of a DynamicModel, such as a cascade, got {type(model).__name__}; make it dynamic first."
        )
    undecided = [name for name in model.chain.exit_names if name not in model.decision_names]
    if undecided:
        raise ValueError(f"nothing decides the exits {undecided}; give DynamicModel(chain, Confidence()).")
    names = [part.name for part in model.cost_tree.children]
    check_table({}, names, [])


def write_parts(model, folder, quantize=None, calibration=None) -> list[Path]:
    """Writes each part of a network as a .tflite of its own, to be timed on a device, and whole.tflite, all of them.

        for part in parts/*.tflite; do benchmark_model --graph=$part --num_threads=1; done > log.txt

    Args:
        model: built DynamicModel, such as a Cascade.
        folder: made if it is not there.
        quantize: as in export.
        calibration: as in export.

    Returns:
        The files' paths.

    Raises:
        ValueError: as export and part_times, if a part is called 'whole', or if the folder has .tflite files.
    """
    _check(model)
    whole = all_on_of(model, quantize, calibration)
    parts = unit_parts(whole)
    if WHOLE in parts:
        raise ValueError(f"the file {WHOLE}.tflite is for the whole network, got a part of that name; rename it.")
    folder = Path(folder)
    if any(folder.glob("*.tflite")):
        raise ValueError(f"{str(folder)!r} has .tflite files already, which would be timed too; give an empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in {WHOLE: whole, **parts}.items():
        paths.append(folder / f"{name}.tflite")
        write_bytes(paths[-1], content)
    return paths


def read_part_times(path, precision=None) -> dict[str, float] | list[float]:
    """Reads how long each part takes: a table for fit_budget, Cascade.fit_thresholds and thresholds_for.

    Args:
        path: of a JSON file, {part: milliseconds}, a list of the times of stopping at each exit or network, or what
            `python tflite/benchmark.py --json` wrote; or of what LiteRT's benchmark_model printed for the files of
            write_parts, one after the other.
        precision: of what benchmark.py measured, 'float32' or 'int8'; None if there is one only.

    Returns:
        {part: milliseconds}, or the list. Where whole.tflite was timed too, the parts add up to it.

    Raises:
        ValueError: if the file is neither, lacks the precision or a time, or times are no numbers of at least 0.
        OSError: if it cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r} is no UTF-8 text ({error}); give a table {{part: milliseconds}}.") from None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("{"):
            raise ValueError(f"{str(path)!r} is no JSON ({error}); give a table {{part: milliseconds}}.") from None
        return _of_log(text, path)
    if isinstance(found, list):
        return found
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{str(path)!r} holds no table {{part: milliseconds}}, got {text[:40]!r}.")
    if all(isinstance(each, Mapping) for each in found.values()):
        if precision is None and len(found) == 1:
            precision = next(iter(found))
        if precision not in found or "unit_ms" not in found[precision]:
            raise ValueError(
                f"{str(path)!r} has times of {sorted(found)}, got precision={precision!r}"
                f"{did_you_mean(precision, found) if precision else ''}; name one of them, or measure it."
            )
        found = {**found[precision]["unit_ms"], DECIDER: found[precision].get("decider_ms", 0.0)}
    return {name: check_number(f"the time of {name!r}", value) for name, value in found.items()}


_GRAPH = re.compile(r"Graph: \[(?P<path>[^\]]+)\]")
_AVERAGE = re.compile(r"Inference \(avg\): (?P<us>[0-9.eE+]+)")


def _of_log(text, path) -> dict[str, float]:
    """Returns the times in the output of benchmark_model, run on one part after the other."""
    found: dict[str, float] = {}
    name = None
    for line in text.splitlines():
        graph, average = _GRAPH.search(line), _AVERAGE.search(line)
        if graph:
            name = Path(graph["path"]).stem
            found[name] = 0.0
        if average and name is not None:
            found[name] = float(average["us"]) / 1000
    untimed = [each for each, value in found.items() if not value]
    if untimed:
        raise ValueError(
            f"{str(path)!r} has no time of {untimed}: benchmark_model failed on these files; run it again."
        )
    whole = found.pop(WHOLE, None)
    if not found:
        raise ValueError(
            f"{str(path)!r} is neither JSON nor the output of benchmark_model on files of lite.write_parts, which "
            "names each file as 'Graph: [...]' and gives its time as 'Inference (avg): ...'."
        )
    factor = 1.0 if whole is None else whole / sum(found.values())
    return {name: value * factor for name, value in found.items()}


def part_energy(
    model, quantize=None, calibration=None, weights="dram", maps="sram", table: Mapping[str, Any] | None = None
) -> dict[str, float]:
    """Returns the energy of each part of a network: of its multiply-adds, and of the bytes that it reads and writes.

    Each operator of the .tflite reads its weights and feature maps once and writes its results once. Of decisions the
    multiply-adds and weights count, not the maps that they read.

        energy = kd.lite.part_energy(model, "int8", x_held_out)
        kd.evaluation.fit_budget(model, x_held_out, y_held_out, mj=0.02, table=energy)

    Args:
        model: built DynamicModel, such as a Cascade.
        quantize: as in export; multiply-adds are of 8 bits in 'int8' and 'dynamic', of 32 otherwise.
        calibration: as in export.
        weights: name of the memory that weights are read from.
        maps: name of the memory for feature maps.
        table: energy table, see cost.energy; None for HOROWITZ_2014.

    Returns:
        {part: millijoules}, of one input.

    Raises:
        ValueError: as export and cost.energy.
    """
    _check(model)
    prices = energy(8 if quantize in ("int8", "dynamic") else 32, weights, maps, table)
    exported = all_on_of(model, "int8" if quantize == "int8" else None, calibration)
    moved = {name: _bytes_moved(part) for name, part in unit_parts(exported).items()}
    smaller = {"float16": 2, "dynamic": 4}.get(quantize, 1)  # weights, than those of the file
    size = 1 if quantize == "int8" else 4 // smaller  # of a weight, in bytes

    def read(part):
        if part.decides:
            return part.total_parameters * size, 0
        weights, maps = moved.get(part.name, (0, 0))
        return weights / smaller, maps

    return {part.name: prices.millijoules(part.total_macs, *read(part)) for part in model.cost_tree.children}


def _bytes_moved(part: bytes) -> tuple[int, int]:
    """Returns the bytes of weights, and of other tensors, that the operators of a .tflite without IFs move."""
    parsed = flatbuffer.load(part)
    graph, weights, maps = parsed.subgraphs[0], 0, 0
    sizes = [math.prod(flatbuffer.shape(tensor)) * flatbuffer.dtype(tensor).itemsize for tensor in graph.tensors]
    for operator in graph.operators:
        for t in (*operator.inputs, *operator.outputs):
            if t >= 0 and flatbuffer.is_constant(parsed, graph.tensors[t]):
                weights += sizes[t]
            elif t >= 0:
                maps += sizes[t]
    return weights, maps
