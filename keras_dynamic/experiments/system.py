"""One dynamic system: evaluated, exported and benchmarked."""

import time
from pathlib import Path

import numpy as np

from keras_dynamic import lite
from keras_dynamic.evaluation.cascade_frontier import PlainNetwork
from keras_dynamic.evaluation.evaluate import accuracy_shuffled, compiled_outcome, evaluate, static_twin
from keras_dynamic.files import write_bytes
from keras_dynamic.lite.benchmark import Models, all_on_of, answers, benchmark
from keras_dynamic.report import PerImage

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


PRECISIONS = {"float32": None, "int8": "int8"}


def keras_figures(model, splits, macs_static, batches=None):
    """Measures a model in Keras, with its static twin and with other images' decisions.

    Args:
        model: built DynamicModel.
        splits: Splits.
        macs_static: MACs of the static reference.
        batches: augmented image batches on which the twin's batch norm is re-estimated; None leaves it.

    Returns:
        (figures, Evaluation on the test images).
    """
    outcome = compiled_outcome(model)
    x, y = splits.test
    result = evaluate(model, x, y, outcome=outcome)
    twin = static_twin(model, splits.held_out, splits.test, float(result.macs.mean()), batches, outcome)
    figures = {
        **result.figures(),
        "macs_static": int(macs_static),
        "images": len(result.labels),
        "accuracy_static_twin": twin.accuracy,
        "static_twin": twin.points,
        "accuracy_shuffled": accuracy_shuffled(model, x, y, result.decisions, outcome),
    }
    return figures, result


def plain_figures(networks, splits):
    """Measures plain networks, built and cheapest first, in Keras.

    Returns:
        (list of PlainNetwork for the cascade frontier, {name: {'accuracy', 'macs'}} on the test images).
    """
    plain, static = [], {}
    for network in networks:
        test = evaluate(network, *splits.test)
        held_out = evaluate(network, *splits.held_out)
        macs = network.cost_tree.total_macs
        plain.append(PlainNetwork(network.name, macs, held_out.logits, test.logits))
        static[network.name] = {"accuracy": test.accuracy, "macs": macs}
    return plain, static


def lite_figures(name, model, static, splits, evaluation, folder):
    """Exports a model, static and dynamic, float and int8, verifies and benchmarks it.

    Args:
        name: of the system, for the files.
        model: built DynamicModel.
        static: {precision: bytes} of the static reference.
        splits: Splits; the held-out images calibrate int8.
        evaluation: Evaluation of the model on the test images in Keras.
        folder: for the .tflite files.

    Returns:
        {'float32': figures, 'int8': figures}.
    """
    found = {}
    for precision, quantize in PRECISIONS.items():
        calibration = splits.held_out[0]
        dynamic = lite.export(model, quantize, calibration, outputs=("logits", "decisions", "macs"))
        all_on = all_on_of(model, quantize, calibration)
        write_bytes(Path(folder) / f"{name}_{precision}.tflite", dynamic)
        timed = lite.with_outputs(dynamic, ["logits", "decisions"])
        figures = benchmark(Models(static[precision], timed, all_on), *splits.test)
        taken = answers(timed, splits.test[0]).decisions
        figures["decisions_changed"] = decisions_changed(taken, evaluation.decisions)
        found[precision] = figures
    return found


def decisions_changed(taken, reference) -> float:
    """Returns the share of decisions {name: 0/1 array [n]} that differ from a reference, which may have more names."""
    return float(np.mean([np.mean(np.round(taken[name]) != np.round(reference[name])) for name in taken]))


def per_image(evaluation, splits) -> PerImage:
    """Returns what the report shows of each test image."""
    images, names, of = np.asarray(splits.test[0]), tuple(splits.class_names), evaluation
    return PerImage(images, of.labels, of.predictions, of.macs, of.decisions, names)
