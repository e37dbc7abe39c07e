"""Measures accuracy, cost and latency of dynamic files and static ones, interleaved on the same images."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.deciders import Pattern
from keras_dynamic.layers import DynamicModel
from keras_dynamic.lite.comparisons import macs_of_stops
from keras_dynamic.lite.export import export
from keras_dynamic.lite.interpreter import Interpreter
from keras_dynamic.lite.metadata import macs_under, metadata_needed, spent_on_parts
from keras_dynamic.lite.thresholds import THRESHOLDS, thresholds_for
from keras_dynamic.lite.variants import driven, unit_parts, with_outputs
from keras_dynamic.ops import BUDGETS, budgets_between, check_images, class_numbers, judged_stops, kept_budgets

LEAST_IMAGES = 200
LEAST_REPEATS = 5


def check_timed(images: int, repeats: int) -> None:
    """Raises a ValueError if there are too few images, or repeats of each, to measure a latency."""
    if images < LEAST_IMAGES or repeats < LEAST_REPEATS:
        raise ValueError(
            f"a latency needs at least {LEAST_IMAGES} images and {LEAST_REPEATS} repeats, got {images} and {repeats}."
        )


def times_in_turn(
    runners: Mapping[str, Any],
    images: Mapping[str, Any],
    repeats: int = LEAST_REPEATS,
    seed: int = 0,
    given: Callable[[str, int], dict] | None = None,
) -> dict[str, np.ndarray]:
    """Measures how long each model takes for each of its images: the median of several runs, all models in turn.

    Args:
        runners: interpreters by name, one thread each, or what else has `set` and `invoke`.
        images: of each of them, [n, height, width, channels], pixel values 0 to 255; all have n.
        repeats: of each image, at least 5.
        seed: of the order of images.
        given: function (name, row) -> further inputs by name; None if there are none.

    Returns:
        {name: float array [n], milliseconds}.

    Raises:
        ValueError: if there are fewer than 200 images, or too few repeats.
    """
    count = min(len(each) for each in images.values())
    check_timed(count, repeats)
    times = {name: np.zeros((count, repeats)) for name in runners}
    for row in np.random.default_rng(seed).permutation(count):
        for name, runner in runners.items():
            runner.set(images[name][row], **(given(name, row) if given else {}))
            runner.invoke()  # not timed: the first run after another model finds cold caches
        for repeat in range(repeats):
            for name, runner in runners.items():
                times[name][row, repeat] = _milliseconds(runner)
    return {name: np.median(value, axis=1) for name, value in times.items()}


def _milliseconds(runner) -> float:
    start = time.perf_counter()
    runner.invoke()
    return 1e3 * (time.perf_counter() - start)


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
    """The outputs of a .tflite for several images.

    Attributes:
        logits: float32 array, [n, classes].
        decisions: {name: 0/1 array [n]}; empty without that output.
    """

    logits: Any
    decisions: dict


def all_on_of(model, quantize=None, calibration=None) -> bytes:
    """Exports a dynamic model's stem, units, exits and head without decider: everything runs that runs for any image.

    Arguments and result as in export; the logits of exits are outputs if the model decides to stop at any.
    """
    chain = model.chain
    inside = next((unit.name for unit in chain.units if getattr(unit, "nested", False)), None)
    if inside is not None:
        raise ValueError(
            f"parts are measured where networks inside of a cascade decide nothing, but {inside!r} does; measure that "
            "network alone, or give the cascade one in which everything runs."
        )
    stops = set(chain.exit_names) & set(model.decision_names)
    runs = model.decider.decisions_by_target(chain, model.decider.constants)
    all_on = DynamicModel(chain, Pattern(runs) if runs else None, name="all_on")
    all_on.build(model.image_shape)
    return export(all_on, quantize, calibration, ("exits",) if stops else ())


def answers(model: bytes, images, thresholds=None, **interpreter) -> Answers:
    """Runs an exported model on images, [n, height, width, channels]; other arguments as of Interpreter and its run."""
    runner = Interpreter(model, **interpreter)
    given = {} if thresholds is None else {THRESHOLDS: thresholds}
    results = [runner.run(image, **given) for image in images]
    taken = [result["decisions"][0] for result in results if "decisions" in result]
    columns = np.array(taken).T if taken else np.zeros((0, len(images)))
    names = metadata_needed(model)["decisions"]
    return Answers(np.array([result["logits"][0] for result in results]), dict(zip(names, columns, strict=False)))


def checked_labels(model: bytes, x, y) -> np.ndarray:
    """Returns labels, class numbers [n] or one-hot [n, classes], as int array [n].

    Raises:
        ValueError: if the model has one logit, images are missing or not finite, or labels are not one class for each.
    """
    check_images(x)
    return class_numbers(y, Interpreter(model).outputs["logits"].shape[-1], len(x))


def _drawn(count, timed, seed) -> np.ndarray:
    """Returns the rows of the images that are timed."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:timed])


def _accuracy(logits, y) -> float:
    return float((logits.argmax(-1) == y).mean())


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
        latency_p90_ms, latency_max_ms (the slowest image's), decider_ms, decider_share (decider_ms over
        latency_all_on_ms), overhead, overhead_with_decider, unit_ms: {part: ms}}.

    Raises:
        ValueError: if there are too few images or repeats.
    """
    metadata = metadata_needed(models.dynamic)
    taken = answers(models.dynamic, images).decisions
    runners = {
        "static": Interpreter(models.static),
        "all_on": Interpreter(models.all_on),
        "dynamic": Interpreter(with_outputs(models.dynamic, ["logits"])),
        "driven": Interpreter(driven(models.dynamic)),
    }
    ports = {name: port for name, port in runners["driven"].inputs.items() if name in metadata["decisions"]}

    def given(name, row):
        return {each: np.full(port.shape, bool(taken[each][row])) for each, port in ports.items() if name == "driven"}

    per_image = times_in_turn(runners, dict.fromkeys(runners, images), repeats, seed, given)
    mean = {name: float(value.mean()) for name, value in per_image.items()}
    unit_ms = measure_parts(models.all_on, mean["all_on"])
    yardstick = float(spent_on_parts(unit_ms, taken, metadata["parts"], len(images)).mean())
    decider = max(0.0, mean["dynamic"] - mean["driven"])
    return {
        "latency_static_ms": mean["static"],
        "latency_dynamic_ms": mean["dynamic"],
        "latency_all_on_ms": mean["all_on"],
        "latency_share": mean["dynamic"] / mean["static"],
        "latency_p10_ms": float(np.percentile(per_image["dynamic"], 10)),
        "latency_p90_ms": float(np.percentile(per_image["dynamic"], 90)),
        "latency_max_ms": float(per_image["dynamic"].max()),
        "decider_ms": decider,
        "decider_share": decider / mean["all_on"],
        "overhead": (mean["dynamic"] - decider) / yardstick,
        "overhead_with_decider": mean["dynamic"] / yardstick,
        "unit_ms": unit_ms,
    }


def measure_parts(all_on: bytes, total_ms: float, rounds=60) -> dict:
    """Measures each part of a static model alone, in turn, and scales the times so that they add up to total_ms.

    Returns:
        {part: milliseconds}: stem, units, exits and head.
    """
    runners = {name: Interpreter(part) for name, part in unit_parts(all_on).items()}
    for runner in runners.values():
        runner.fill()
        runner.invoke()
    measured = [[_milliseconds(runner) for runner in runners.values()] for _ in range(rounds)]
    alone = np.median(measured, axis=0)
    return dict(zip(runners, (alone * total_ms / alone.sum()).tolist(), strict=True))


def benchmark(models: Models, x, y, repeats=LEAST_REPEATS, latency_images=LEAST_IMAGES, seed=0) -> dict:
    """Measures a dynamic .tflite and its static reference: accuracy, cost, activation, latency, overhead, size.

    Args:
        models: Models.
        x: test images, [n, height, width, channels], pixel values 0 to 255.
        y: class numbers [n], or one-hot labels [n, classes].
        repeats: of each image in the latency.
        latency_images: how many of the images are timed, drawn with the seed.
        seed: of the draw.

    Returns:
        As measure_latency, and accuracy, accuracy_static, macs_mean, macs_share (of the static model's),
        latency_per_mac (latency_share over macs_share: 1 if time falls as MACs do), size_bytes, size_static_bytes,
        activation_rates {name: rate}.

    Raises:
        ValueError: if there are too few images, some are not finite, or labels are not one class for each.
    """
    y = checked_labels(models.dynamic, x, y)
    found = answers(models.dynamic, x)
    macs = np.zeros(len(x)) + macs_under(metadata_needed(models.dynamic)["cost"], found.decisions)
    latency = measure_latency(models, np.asarray(x)[_drawn(len(x), latency_images, seed)], repeats, seed)
    macs_share = float(macs.mean()) / sum(part["macs"] for part in metadata_needed(models.static)["cost"])
    return {
        **latency,
        "accuracy": _accuracy(found.logits, y),
        "accuracy_static": _accuracy(answers(models.static, x).logits, y),
        "macs_mean": float(macs.mean()),
        "macs_share": macs_share,
        "latency_per_mac": latency["latency_share"] / macs_share,
        "size_bytes": len(with_outputs(models.dynamic, ["logits"])),
        "size_static_bytes": len(models.static),
        "activation_rates": {name: float(np.mean(value)) for name, value in found.decisions.items()},
    }


def measure_exits(dynamic: bytes, statics, images, repeats=LEAST_REPEATS, seed=0) -> dict:
    """Measures how long images take that stop at each exit, in turn with the exit as a static model.

    Thresholds make every image stop at the exit in question; images that stop before all the same, as the most certain
    do in int8 files of older versions, are left out of an exit's.

    Args:
        dynamic: a .tflite exported with thresholds='input' and the output 'decisions', its decisions its exits.
        statics: .tflite of each exit as a static model, see transform.until_exit, the head's last.
        images: [n, height, width, channels], pixel values 0 to 255, of which 200 are timed for each exit.
        repeats: of each image, at least 5.
        seed: of the order of images.

    Returns:
        {'exit_ms', 'exit_static_ms', 'exit_latency_ratio'}: lists, one number for each exit, the head's last.

    Raises:
        ValueError: if there are not as many static models as exits, or fewer than 200 images stop at one of them.
    """
    names = _exits(dynamic)["decisions"]
    if len(statics) != len(names) + 1:
        raise ValueError(
            f"measure_exits takes a static model for each of the {len(names) + 1} exits, the head's last, got "
            f"{len(statics)}; export transform.until_exit(model, name) for each."
        )
    check_timed(len(images), repeats)
    images = np.asarray(images)
    runners, chosen, given = {}, {}, {}
    for index, static in enumerate(statics):
        thresholds = np.where(np.arange(len(names)) < index, np.float32(np.inf), np.float32(0.0))
        rows = np.flatnonzero(_stops(answers(dynamic, images, thresholds)) == index)[:LEAST_IMAGES]
        if len(rows) < LEAST_IMAGES:
            raise ValueError(
                f"a latency needs at least {LEAST_IMAGES} images, but {len(rows)} of {len(images)} stop at "
                f"{[*names, 'head'][index]!r}; give more images."
            )
        for kind, model in (("exit", dynamic), ("static", static)):
            runners[f"{kind} {index}"], chosen[f"{kind} {index}"] = Interpreter(model), images[rows]
        given[f"exit {index}"] = {THRESHOLDS: thresholds}
    found = times_in_turn(runners, chosen, repeats, seed, lambda name, row: given.get(name, {}))
    times, alone = ([float(found[f"{kind} {k}"].mean()) for k in range(len(statics))] for kind in ("exit", "static"))
    ratios = [own / static for own, static in zip(times, alone, strict=True)]
    return {"exit_ms": times, "exit_static_ms": alone, "exit_latency_ratio": ratios}


def _exits(model: bytes) -> dict[str, Any]:
    """Returns the metadata of a model that decides its exits alone and takes their thresholds, or raises."""
    metadata = metadata_needed(model)
    if THRESHOLDS not in metadata or metadata["decisions"] != metadata.get("exits"):
        raise ValueError(
            "exits are measured by a model that decides its exits alone and takes their thresholds; export it with "
            "thresholds='input'."
        )
    return metadata


def _stops(found: Answers) -> np.ndarray:
    """Returns the index of the exit at which each image stopped."""
    return np.sum(list(found.decisions.values()), axis=0).astype(int)


def measure_budgets(
    dynamic: bytes, static: bytes, x, y, budgets=BUDGETS, timed=LEAST_IMAGES, repeats=LEAST_REPEATS, seed=0
) -> dict:
    """Measures accuracy, MACs and latency under budgets, with the file's own table of thresholds.

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
    metadata = _exits(dynamic)
    check_timed(min(len(x), timed), repeats)
    macs = np.array(macs_of_stops(metadata["cost"], metadata["decisions"]))
    x, y = np.asarray(x), checked_labels(dynamic, x, y)
    rows: list[dict[str, Any]] = []
    runners, given = {"static": Interpreter(static)}, {}
    for number, budget in enumerate(budgets_between(macs[0], macs[-1], budgets)):
        thresholds = thresholds_for(dynamic, budget)
        runners[str(number)], given[str(number)] = Interpreter(dynamic), {THRESHOLDS: thresholds}
        found = answers(dynamic, x, thresholds)
        at = _stops(found)
        rows.append({"budget": budget, **judged_stops(at, found.logits.argmax(-1) == y, macs[at], len(macs))})
    images = dict.fromkeys(runners, x[_drawn(len(x), timed, seed)])
    times = times_in_turn(runners, images, repeats, seed, lambda name, row: given.get(name, {}))
    for number, row in enumerate(rows):
        row["ms"] = float(times[str(number)].mean())
    return {
        **kept_budgets(rows),
        "static_ms": float(times["static"].mean()),
        "accuracy_static": _accuracy(answers(static, x).logits, y),
    }
