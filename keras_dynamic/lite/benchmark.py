"""Static against dynamic, measured in one process on the same images."""

import time
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.deciders import Pattern
from keras_dynamic.layers import DynamicModel
from keras_dynamic.lite import schema
from keras_dynamic.lite.export import export
from keras_dynamic.lite.interpreter import Interpreter
from keras_dynamic.lite.metadata import macs_under, metadata_needed
from keras_dynamic.lite.timing import LEAST_IMAGES, LEAST_REPEATS, times_in_turn
from keras_dynamic.lite.variants import driven, unit_parts, with_outputs
from keras_dynamic.ops import check_images, class_numbers


class Models(NamedTuple):
    """The models of one system in one precision, as .tflite bytes.

    Attributes:
        static: the static reference, e.g. the ungated network.
        dynamic: the dynamic model, exported with its decisions as an output.
        all_on: the dynamic model's stem, units, exits and head without decider and IFs, see all_on_of.
    """

    static: bytes
    dynamic: bytes
    all_on: bytes


class Answers(NamedTuple):
    """What a .tflite answered.

    Attributes:
        logits: float32 array, [n, classes].
        decisions: {name: 0/1 array [n]}; empty without that output.
    """

    logits: Any
    decisions: dict


def all_on_of(model, quantize=None, calibration=None) -> bytes:
    """Exports a dynamic model's stem, units, exits and head without decider: everything runs that runs for any image.

    Args:
        model: built DynamicModel.
        quantize: as in export.
        calibration: as in export.

    Returns:
        The .tflite's bytes; the answers of exits are outputs if the model decides to stop at any.
    """
    chain = model.chain
    stops = set(chain.exit_names) & set(model.decision_names)
    runs = model.decider.obeying(chain, model.decider.known)
    all_on = DynamicModel(chain, Pattern(runs) if runs else None, name="all_on")
    all_on.build(model.image_shape)
    return export(all_on, quantize, calibration, ("exits",) if stops else ())


def answers(model: bytes, images, **interpreter) -> Answers:
    """Runs a model on images.

    Args:
        model: an exported .tflite.
        images: [n, height, width, channels], pixel values 0 to 255.
        **interpreter: arguments of Interpreter.

    Returns:
        Answers.
    """
    runner = Interpreter(model, **interpreter)
    names = _metadata(model)["decisions"]
    logits, taken = [], []
    for image in images:
        results = runner.run(image)
        logits.append(results["logits"][0])
        if "decisions" in results:
            taken.append(results["decisions"][0])
    columns = np.array(taken).T if taken else np.zeros((0, len(images)))
    return Answers(np.array(logits), dict(zip(names, columns, strict=False)))


def checked_labels(model: bytes, x, y) -> np.ndarray:
    """Returns labels as class numbers, after checks of what a .tflite is judged on.

    Args:
        model: an exported .tflite.
        x: test images, [n, height, width, channels].
        y: class numbers [n], or one-hot labels [n, classes].

    Returns:
        int array, [n].

    Raises:
        ValueError: if the model has one logit, images are missing or not finite, or labels are not one class for each.
    """
    check_images(x)
    return class_numbers(y, Interpreter(model).outputs["logits"].shape[-1], len(x))


def measure_latency(models: Models, images, repeats=LEAST_REPEATS, seed=0) -> dict:
    """Measures latencies and overhead, one thread, all models interleaved on the same images.

    A latency is the mean over images of each image's median over the repeats. The yardstick of an image is the measured
    time, in the all-on graph, of the units and exits that it runs; of a unit that it runs in part, with groups of
    channels that are off, the share of its MACs. overhead is (dynamic - decider) / yardstick, with_decider is
    dynamic / yardstick; the decider's own time is the dynamic model's time less that of the same model with its
    decisions as inputs.

    Args:
        models: Models.
        images: [n, height, width, channels], pixel values 0 to 255, at least 200.
        repeats: of each image, at least 5.
        seed: of the order of images.

    Returns:
        {latency_static_ms, latency_dynamic_ms, latency_all_on_ms, latency_share (dynamic over static), latency_p10_ms,
        latency_p90_ms, decider_ms, decider_share (decider_ms over latency_all_on_ms), overhead, overhead_with_decider,
        unit_ms: {part: ms}}.

    Raises:
        ValueError: if there are too few images or repeats.
    """
    names = _metadata(models.dynamic)["decisions"]
    taken = answers(models.dynamic, images).decisions
    runners = {
        "static": Interpreter(models.static),
        "all_on": Interpreter(models.all_on),
        "dynamic": Interpreter(with_outputs(models.dynamic, ["logits"])),
        "driven": Interpreter(driven(models.dynamic)),
    }
    ports = {name: port for name, port in runners["driven"].inputs.items() if name in names}

    def given(name, row):
        return {each: np.full(port.shape, bool(taken[each][row])) for each, port in ports.items() if name == "driven"}

    per_image = times_in_turn(runners, dict.fromkeys(runners, images), repeats, seed, given)
    mean = {name: float(value.mean()) for name, value in per_image.items()}
    unit_ms = measure_parts(models.all_on, mean["all_on"])
    yardstick = float(_yardstick(unit_ms, taken, _metadata(models.dynamic)["parts"], len(images)).mean())
    decider = max(0.0, mean["dynamic"] - mean["driven"])
    return {
        "latency_static_ms": mean["static"],
        "latency_dynamic_ms": mean["dynamic"],
        "latency_all_on_ms": mean["all_on"],
        "latency_share": mean["dynamic"] / mean["static"],
        "latency_p10_ms": float(np.percentile(per_image["dynamic"], 10)),
        "latency_p90_ms": float(np.percentile(per_image["dynamic"], 90)),
        "decider_ms": decider,
        "decider_share": decider / mean["all_on"],
        "overhead": (mean["dynamic"] - decider) / yardstick,
        "overhead_with_decider": mean["dynamic"] / yardstick,
        "unit_ms": unit_ms,
    }


def measure_parts(all_on: bytes, total_ms: float, rounds=60) -> dict:
    """Measures each part of a static model alone, and scales the times so that they add up to the whole.

    Args:
        all_on: an exported .tflite without IFs.
        total_ms: measured time of the whole, milliseconds.
        rounds: how often each part is run, all parts in turn.

    Returns:
        {part: milliseconds}: stem, units, exits and head.
    """
    runners = {name: Interpreter(part) for name, part in unit_parts(all_on).items()}
    for runner in runners.values():
        runner.fill()
        runner.invoke()
    rounds_of: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            start = time.perf_counter()
            runner.invoke()
            rounds_of[name].append(time.perf_counter() - start)
    alone = {name: float(np.median(value)) for name, value in rounds_of.items()}
    scale = total_ms / sum(alone.values())
    return {name: value * scale for name, value in alone.items()}


def _metadata(model: bytes) -> dict[str, Any]:
    return metadata_needed(schema.load(model))


def _yardstick(unit_ms, decisions, unit_parts, count):
    """Returns [count] milliseconds: of each unit the share of its MACs that runs; what no decision names always runs.

    Args:
        unit_ms: {part: milliseconds}.
        decisions: {name: 0/1 array [count]}.
        unit_parts: the metadata's `parts`.
        count: number of images.
    """
    total = np.zeros(count)
    for name, milliseconds in unit_ms.items():
        own = unit_parts.get(name)
        if own:
            ran = macs_under(own, decisions)
            total += milliseconds * ran / sum(part["macs"] for part in own)
        else:
            total += milliseconds
    return total


def benchmark(models: Models, x, y, repeats=LEAST_REPEATS, latency_images=LEAST_IMAGES, seed=0) -> dict:
    """Measures what a dynamic .tflite gives: accuracy, cost, activation, latency, overhead, size.

    Args:
        models: Models.
        x: test images, [n, height, width, channels], pixel values 0 to 255.
        y: class numbers [n], or one-hot labels [n, classes].
        repeats: of each image in the latency.
        latency_images: how many of the images are timed, drawn with the seed.
        seed: of the draw.

    Returns:
        What measure_latency returns, and accuracy, accuracy_static, macs_mean, macs_share (of the static model's),
        latency_per_mac (latency_share over macs_share: 1 if time falls as MACs do), size_bytes, size_static_bytes,
        activation_rates {name: rate}.

    Raises:
        ValueError: if there are too few images, some are not finite, or labels are not one class for each.
    """
    y = checked_labels(models.dynamic, x, y)
    found, static = answers(models.dynamic, x), answers(models.static, x)
    macs = np.zeros(len(x)) + macs_under(_metadata(models.dynamic)["cost"], found.decisions)
    timed = np.sort(np.random.default_rng(seed).permutation(len(x))[:latency_images])
    latency = measure_latency(models, np.asarray(x)[timed], repeats, seed)
    macs_share = float(macs.mean()) / sum(part["macs"] for part in _metadata(models.static)["cost"])
    return {
        **latency,
        "accuracy": float((found.logits.argmax(-1) == y).mean()),
        "accuracy_static": float((static.logits.argmax(-1) == y).mean()),
        "macs_mean": float(macs.mean()),
        "macs_share": macs_share,
        "latency_per_mac": latency["latency_share"] / macs_share,
        "size_bytes": len(with_outputs(models.dynamic, ["logits"])),
        "size_static_bytes": len(models.static),
        "activation_rates": {name: float(np.mean(value)) for name, value in found.decisions.items()},
    }
