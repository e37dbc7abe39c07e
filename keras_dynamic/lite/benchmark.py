"""Latency of dynamic files beside static ones, measured in turn on the same images."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.deciders import Pattern
from keras_dynamic.layers import DynamicModel
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.comparisons import macs_of_stops
from keras_dynamic.lite.export import export
from keras_dynamic.lite.interpreter import Interpreter
from keras_dynamic.lite.metadata import macs_under, metadata_needed
from keras_dynamic.lite.thresholds import THRESHOLDS, thresholds_for
from keras_dynamic.lite.variants import driven, unit_parts, with_outputs
from keras_dynamic.ops import BUDGETS, budgets_between, check_images, class_numbers, judged_stops, kept_budgets

LEAST_IMAGES = 200
LEAST_REPEATS = 5


def check_timed(images: int, repeats: int) -> None:
    """Raises a ValueError if there are too few images, or repeats of each, to tell a latency."""
    if images < LEAST_IMAGES or repeats < LEAST_REPEATS:
        raise ValueError(
            f"a latency needs at least {LEAST_IMAGES} images and {LEAST_REPEATS} repeats, got {images} and {repeats}."
        )


def times_in_turn(
    runners: Mapping[str, Interpreter],
    images: Mapping[str, object],
    repeats: int = LEAST_REPEATS,
    seed: int = 0,
    given: Callable[[str, int], dict] | None = None,
) -> dict[str, np.ndarray]:
    """Measures how long each model takes for each of its images: the median of several runs, all models in turn.

    Args:
        runners: interpreters by name, one thread each.
        images: of each of them, [n, height, width, channels], pixel values 0 to 255; all have n.
        repeats: of each image, at least 5.
        seed: of the order of images.
        given: function (name, row) -> further inputs by name; None if there are none.

    Returns:
        {name: float array [n], milliseconds}.

    Raises:
        ValueError: if there are fewer than 200 images, or too few repeats.
    """
    count = min(len(each) for each in images.values())  # type: ignore[arg-type]
    check_timed(count, repeats)
    times = {name: np.zeros((count, repeats)) for name in runners}
    for row in np.random.default_rng(seed).permutation(count):
        for name, runner in runners.items():
            runner.set(images[name][row], **(given(name, row) if given else {}))  # type: ignore[index]
            runner.invoke()  # not timed: the first run after another model finds cold caches
        for repeat in range(repeats):
            for name, runner in runners.items():
                start = time.perf_counter()
                runner.invoke()
                times[name][row, repeat] = time.perf_counter() - start
    return {name: 1e3 * np.median(value, axis=1) for name, value in times.items()}


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
    runs = model.decider.decisions_by_target(chain, model.decider.constants)
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
    return metadata_needed(flatbuffer.load(model))


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


def measure_exits(dynamic: bytes, statics, images, repeats=LEAST_REPEATS, seed=0) -> dict:
    """Measures how long images take that stop at each exit, in turn with the exit as a static model.

    Thresholds make every image stop at the exit in question. In int8 an image whose confidence is 255/256 stops at any
    threshold; images that do so on the way are left out of an exit's.

    Args:
        dynamic: a .tflite exported with thresholds='input' and the output 'decisions', its decisions its exits.
        statics: .tflite of each exit as a static model, see models.until_exit, the head's last.
        images: [n, height, width, channels], pixel values 0 to 255, of which 200 are timed for each exit.
        repeats: of each image, at least 5.
        seed: of the order of images.

    Returns:
        {'exit_ms', 'exit_static_ms', 'exit_latency_ratio'}: lists, one number for each exit, the head's last.

    Raises:
        ValueError: if there are not as many static models as exits, or fewer than 200 images stop at one of them.
    """
    names = _exits(dynamic)
    if len(statics) != len(names) + 1:
        raise ValueError(
            f"measure_exits takes a static model for each of the {len(names) + 1} exits, the head's last, got "
            f"{len(statics)}; export models.until_exit(model, name) for each."
        )
    check_timed(len(images), repeats)
    images, runners = np.asarray(images), {}
    chosen, given = {}, {}
    for index, static in enumerate(statics):
        thresholds = np.where(np.arange(len(names)) < index, np.float32(np.inf), np.float32(0.0))
        runner = Interpreter(dynamic)
        rows = _stopping_at(runner, thresholds, index, images, [*names, "head"][index])
        for key, each in ((f"exit {index}", runner), (f"static {index}", Interpreter(static))):
            runners[key], chosen[key] = each, images[rows]
        given[f"exit {index}"] = {THRESHOLDS: thresholds}
    found = times_in_turn(runners, chosen, repeats, seed, lambda name, row: given.get(name, {}))
    times, alone = ([float(found[f"{kind} {k}"].mean()) for k in range(len(statics))] for kind in ("exit", "static"))
    ratios = [own / static for own, static in zip(times, alone, strict=True)]
    return {"exit_ms": times, "exit_static_ms": alone, "exit_latency_ratio": ratios}


def _exits(model: bytes) -> list[str]:
    """Returns the names of the exits at which a model stops, or raises."""
    metadata = metadata_needed(flatbuffer.load(model))
    if THRESHOLDS not in metadata or metadata["decisions"] != metadata.get("exits"):
        raise ValueError(
            "exits are measured by a model that decides its exits alone and takes their thresholds; export it with "
            "thresholds='input'."
        )
    return metadata["decisions"]


def _stopping_at(runner, thresholds, index, images, name) -> list[int]:
    """Returns the first 200 rows of images that stop at an exit."""
    rows = []
    for row, image in enumerate(images):
        if int(runner.run(image, thresholds=thresholds)["decisions"].sum()) == index:
            rows.append(row)
        if len(rows) == LEAST_IMAGES:
            return rows
    raise ValueError(
        f"a latency needs at least {LEAST_IMAGES} images, but {len(rows)} of {len(images)} stop at {name!r}; give "
        "more images."
    )


def measure_budgets(
    dynamic: bytes, static: bytes, x, y, budgets=BUDGETS, timed=LEAST_IMAGES, repeats=LEAST_REPEATS, seed=0
) -> dict:
    """Measures what a file gives under budgets, by the table of thresholds that it holds.

    Args:
        dynamic: a .tflite exported with thresholds='input', calibration images and the output 'decisions', its
            decisions its exits.
        static: .tflite of the network that always runs to its end.
        x: test images, [n, height, width, channels], pixel values 0 to 255.
        y: class numbers [n], or one-hot labels [n, classes].
        budgets: how many, evenly spaced between the first exit's MACs and the last one's, without these two.
        timed: how many of the images are timed, drawn with the seed.
        repeats: of each of them.
        seed: of the draw.

    Returns:
        'budgets', a list of {'budget', 'macs_mean', 'kept', 'accuracy', 'ms', 'stops'}: the mean MACs per image that
        were allowed, those that all images spend, the one over the other, their accuracy, mean milliseconds of the
        timed ones, and the share of all that stops at each exit; 'budget_error', the largest difference of 'kept' from
        1; 'static_ms' and 'accuracy_static'.

    Raises:
        ValueError: if the file has no table, budgets is no positive whole number, there are too few images, some are
            not finite, or labels are not one class for each.
    """
    names = _exits(dynamic)
    check_timed(min(len(x), timed), repeats)
    macs = np.array(macs_of_stops(metadata_needed(flatbuffer.load(dynamic))["cost"], names))
    x, y = np.asarray(x), checked_labels(dynamic, x, y)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(x))[:timed])
    rows: list[dict[str, Any]] = []
    runners = {"static": Interpreter(static)}
    given: dict[str, dict] = {}
    for number, budget in enumerate(budgets_between(macs[0], macs[-1], budgets)):
        runners[str(number)] = runner = Interpreter(dynamic)
        thresholds = thresholds_for(dynamic, budget)
        given[str(number)] = {THRESHOLDS: thresholds}
        found = [runner.run(image, thresholds=thresholds) for image in x]
        at = np.array([int(answer["decisions"].sum()) for answer in found])
        right = np.array([answer["logits"].argmax() for answer in found]) == y
        rows.append({"budget": budget, **judged_stops(at, right, macs[at], len(macs))})
    times = times_in_turn(
        runners, dict.fromkeys(runners, x[drawn]), repeats, seed, lambda name, row: given.get(name, {})
    )
    for number, row in enumerate(rows):
        row["ms"] = float(times[str(number)].mean())
    return {
        **kept_budgets(rows),
        "static_ms": float(times["static"].mean()),
        "accuracy_static": float((answers(static, x).logits.argmax(-1) == y).mean()),
    }
