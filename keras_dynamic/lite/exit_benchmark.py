"""What stopping at exits saves in a .tflite: the time to each exit, and accuracy and time under budgets."""

from typing import Any

import numpy as np

from keras_dynamic.lite import schema
from keras_dynamic.lite.benchmark import answers, checked_labels
from keras_dynamic.lite.budgets import macs_of_stops
from keras_dynamic.lite.interpreter import Interpreter
from keras_dynamic.lite.metadata import metadata_needed
from keras_dynamic.lite.thresholds import THRESHOLDS, thresholds_for
from keras_dynamic.lite.timing import LEAST_IMAGES, LEAST_REPEATS, check_timed, times_in_turn
from keras_dynamic.ops import BUDGETS, budgets_between, judged_stops, kept_budgets


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
    metadata = metadata_needed(schema.load(model))
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
    macs = np.array(macs_of_stops(metadata_needed(schema.load(dynamic))["cost"], names))
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
