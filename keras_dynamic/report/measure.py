"""Measures dynamic networks in Keras and as .tflite, against a static one, and writes the report of it."""

import datetime
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic import lite
from keras_dynamic.data import as_arrays
from keras_dynamic.evaluation.cascade_frontier import PlainNetwork, cascade_frontier
from keras_dynamic.evaluation.evaluate import Pair, accuracy_shuffled, compiled_outcome, evaluate, static_twin
from keras_dynamic.files import write_bytes
from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.dynamic_model import as_dynamic
from keras_dynamic.lite.benchmark import LEAST_REPEATS, Models, all_on_of, answers, benchmark, check_timed
from keras_dynamic.messages import distinct
from keras_dynamic.models import Cascade
from keras_dynamic.report import frontier
from keras_dynamic.report.html import write_report
from keras_dynamic.report.schema import PerImage, check_system_name
from keras_dynamic.report.system_sections import short_table

PRECISIONS = {"float32": None, "int8": "int8"}


class Split(NamedTuple):
    """Data to choose on and data to judge on.

    Attributes:
        held_out: (inputs [n, ...], labels [n]) that no network was trained on.
        test: likewise.
        class_names: one name per class.
    """

    held_out: Pair
    test: Pair
    class_names: Sequence[str]


def create_report(
    model,
    test,
    held_out,
    folder="report",
    static=None,
    plain=None,
    class_names=None,
    data="",
    promise=None,
    verbose=1,
) -> Path:
    """Measures dynamic networks against a static one, exports them, and writes one page about it.

        kd.report.create_report(cascade, (x_test, y_test), (x_held_out, y_held_out), "report")

    Everything is measured in this call, on one thread: accuracy, MACs and time of the exported files in float32 and
    int8, of the dynamic networks and of the static one in turn. Nothing is trained or fitted: give thresholds first.

    Args:
        model: built DynamicModel, such as a Cascade; or {name: model} for several. Classifiers of two classes or more,
            with one answer for each input.
        test: (inputs [n, ...], labels [n]), at least 200, on which everything is judged.
        held_out: (inputs, labels) that no network was trained on: they calibrate int8 and choose the static twin.
        folder: gets report.html, report.json, pictures/ and models/, which has the .tflite and .keras files.
        static: network that the others are to replace; None takes the last one of a cascade, or the network of the
            first model with everything on, which after a training is not the one that you began with.
        plain: further static networks, such as smaller ones of yours, for the lines of accuracy against MACs; None
            takes those of a cascade.
        class_names: one name per class, for the pictures; None numbers them.
        data: what the test data are called on the page.
        promise: what evaluation.calibrate returned for the model, which the page then states; None for none.
        verbose: 0 prints nothing.

    Returns:
        The path of report.html.

    Raises:
        ValueError: if a model decides nothing or is no such classifier, a name will not do for files, classes differ,
            there are fewer than 200 test inputs, or inputs and labels do not fit.
    """
    models = dict(model) if isinstance(model, Mapping) else {getattr(model, "name", "model"): model}
    for name, each in models.items():
        _check(name, each)
    first = next(iter(models.values()))
    static = _static_of(first) if static is None else as_dynamic(static, copy=False)
    if plain is None:
        plain = first.networks[:-1] if isinstance(first, Cascade) else ()
    plain = [as_dynamic(each, copy=False) for each in plain]
    for each in (*models.values(), *plain, static):
        if each.classes != first.classes:
            raise ValueError(f"all networks need the same classes, got {first.classes} and {each.classes}.")
    names = [str(k) for k in range(first.classes)] if class_names is None else list(class_names)
    if len(names) != first.classes:
        raise ValueError(f"class_names must be {first.classes} names, one per class, got {len(names)}.")
    splits = Split(labelled_pair(held_out, "held_out"), labelled_pair(test, "test"), names)
    check_timed(len(splits.test[0]), LEAST_REPEATS)
    folder = Path(folder)
    say = print if verbose else (lambda text: None)

    report, images = measure_systems(models, [*plain, static], static, splits, folder / "models", say)
    for name, each in models.items():
        each.save(folder / "models" / f"{name}.keras")
    if promise is not None:
        report["promise"] = {"risk": promise.risk, "delta": promise.delta, "p_value": promise.p_value}
    report["images"] = len(splits.test[0])
    report["data"] = f"{data}: {report['images']:,} test inputs" if data else f"{report['images']:,} test inputs"
    report["date"] = datetime.date.today().isoformat()
    report["machine"] = f"{platform.processor() or platform.machine()}, one thread"
    page = write_report(report, images, folder)
    say(f"\n{short_table(report)}\n\n{page}")
    return page


def measure_systems(models, networks, static, splits, folder, say) -> tuple[dict[str, Any], dict[str, PerImage]]:
    """Measures dynamic networks in Keras and as .tflite, against a static one, and writes the files.

    Args:
        models: {name: built DynamicModel}.
        networks: static networks, of which one is `static`; several give a cascade frontier.
        static: the static reference.
        splits: Split, or anything with its attributes.
        folder: gets static_PRECISION.tflite and NAME_PRECISION.tflite.
        say: function (text), called before each long step.

    Returns:
        (report, as report.json has it, and what each system did with each test image, of images in colour).
    """
    folder.mkdir(parents=True, exist_ok=True)
    say(f"Measuring {len(networks)} static networks")
    networks = sorted(networks, key=_macs)
    titles = distinct(network.name for network in networks)
    measured, accuracies = plain_figures(networks, splits, titles)
    exported = {}
    for precision, quantize in PRECISIONS.items():
        exported[precision] = lite.export(static, quantize, splits.held_out[0])
        write_bytes(folder / f"static_{precision}.tflite", exported[precision])
    report: dict[str, Any] = {"static": accuracies, "systems": {}, "held_out": len(splits.held_out[0])}
    if len(measured) > 1:
        report["cascade_frontier"] = cascade_frontier(measured, splits.held_out[1], splits.test[1])
    images = {}
    for name, each in models.items():
        say(f"Measuring {name} in Keras and as .tflite")
        figures, evaluation = keras_figures(each, splits, _macs(static))
        figures |= lite_figures(name, each, exported, splits, evaluation, folder)
        figures |= frontier.margins(figures, accuracies, report.get("cascade_frontier"))
        figures["reference"] = titles[next(k for k, network in enumerate(networks) if network is static)]
        report["systems"][name] = figures
        if _pictured(splits.test[0]):
            images[name] = per_image(evaluation, splits)
    return report, images


def _macs(network) -> int:
    return network.cost_tree.without_exits().total_macs


def labelled_pair(data, name) -> Pair:
    """Returns (inputs, labels) as arrays, from such a pair or a data set.

    Args:
        data: a pair, or a tf.data.Dataset or keras.utils.PyDataset.
        name: of the argument, for the error.

    Raises:
        ValueError: if there are no labels.
    """
    x, y = as_arrays(*data) if isinstance(data, (tuple, list)) and len(data) == 2 else as_arrays(data)
    if y is None:
        raise ValueError(f"{name} must be (inputs, labels), or a data set of both, got no labels.")
    return x, y


def _check(name, model):
    """Raises a ValueError unless a model is one that a report can be about."""
    check_system_name(name)
    if name == "static":
        raise ValueError("the static network's files are called 'static', got a model of that name; rename it.")
    if not isinstance(model, DynamicModel) or not model.decision_names:
        raise ValueError(
            f"a report is about networks that decide something, got {name!r}, a {type(model).__name__} that decides "
            "nothing; give a cascade, or a DynamicModel with gates, exits or a policy."
        )
    if model.task != "classes" or len(model.logits_shape) != 2 or model.classes < 2:
        raise ValueError(
            f"a report compares classifiers of two classes or more with one answer for each input, got {name!r} with "
            f"logits {list(model.logits_shape)} for {model.task}; measure it with evaluation.evaluate and "
            "lite.benchmark."
        )


def _static_of(model) -> DynamicModel:
    """Returns the static network that a dynamic one is made of."""
    if isinstance(model, Cascade):
        last = as_dynamic(model.networks[-1], copy=False)
        return _static_of(last) if last.decision_names else last
    made = DynamicModel(model.chain, name=f"{model.name}_everything_on")
    made.build(model.image_shape)
    return made


def _pictured(x) -> bool:
    """Returns whether inputs are images in colour, as pixels."""
    return x.ndim == 4 and x.shape[-1] == 3 and x.dtype == np.uint8


def keras_figures(model, splits, macs_static, batches=None):
    """Measures a model in Keras, with its static twin and with other images' decisions.

    Args:
        model: built DynamicModel.
        splits: Split, or anything with its attributes.
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


def plain_figures(networks, splits, names=None):
    """Measures plain networks, built and cheapest first, in Keras; names are those to call them, None for their own.

    Returns:
        (list of PlainNetwork for the cascade frontier, {name: {'accuracy', 'macs'}} on the test images).
    """
    plain, static = [], {}
    names = [network.name for network in networks] if names is None else names
    for name, network in zip(names, networks, strict=True):
        test = evaluate(network, *splits.test)
        held_out = evaluate(network, *splits.held_out)
        macs = _macs(network)
        plain.append(PlainNetwork(name, macs, held_out.logits, test.logits))
        static[name] = {"accuracy": test.accuracy, "macs": macs}
    return plain, static


def lite_figures(name, model, static, splits, evaluation, folder):
    """Exports a model, static and dynamic, float and int8, verifies and benchmarks it.

    Args:
        name: of the system, for the files.
        model: built DynamicModel.
        static: {precision: bytes} of the static reference.
        splits: Split; the held-out images calibrate int8.
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
