r"""Measures a dynamic model against its static reference, as TFLite, in one process on the same images.

    python tflite/benchmark.py --model=gated.keras --static=plain.keras --images=photos --calibration=held_out
    python tflite/benchmark.py --model=zoo:resnet32_cifar10_gated --static=zoo:resnet32_cifar10_45k --json=bench.json
    python tflite/benchmark.py

Without a model it measures every dynamic network of the zoo, one after the other, against the zoo's plain network of
its depth, or one with exits against itself with everything on. Both are exported in float32 and in int8, verified, and
run on --images, a folder of test images with a folder for each class. A model that does not normalise pixels itself
also needs --input_mean and --input_std, see export_model.py.
Latencies are one thread's; overhead is the measured time over that of what each image runs, in the same network without
its decisions.
--static may be a .tflite from elsewhere, which is measured as it is, in its own precision; it takes the same numbers as
the model.
"""

import json
import time
from pathlib import Path

import terminal
from absl import app, flags, logging
from images import SHIPPED, TEST, check_classes, chosen, read_images
from models import check_models, import_own, load, plain_counterpart, static_file

_MODEL = flags.DEFINE_string(
    "model", None, "the dynamic model: a .keras file or zoo:NAME; if not given, all of the zoo"
)
_STATIC = flags.DEFINE_string(
    "static",
    None,
    "the static reference, likewise, or any plain .tflite; the same chain with everything on if not given",
)
_PRECISIONS = flags.DEFINE_list("precisions", ["float32", "int8"], "what to measure")
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "labelled test images: a folder with a folder of image files for each class, an .npz with images x, as the model "
    "takes them, and labels y, or 'shipped' (1,000 of CIFAR-10), the default for networks of the zoo",
)
_CALIBRATION = flags.DEFINE_string(
    "calibration",
    None,
    "held-out images for int8: a folder of image files, with or without folders for classes, an .npy or an .npz, or "
    "'shipped' (500 of CIFAR-10), the default for networks of the zoo",
)
_TIMED = flags.DEFINE_integer("timed", 200, "images in the latency", lower_bound=200)
_REPEATS = flags.DEFINE_integer("repeats", 5, "repeats of each image", lower_bound=5)
_FORCE_ALL_ON = flags.DEFINE_bool("force_all_on", False, "every decision on: what the IFs and deciders alone cost")
_IMPORTS = flags.DEFINE_list("imports", [], "Python modules to import first: those that define layers of your own")
_JSON = flags.DEFINE_string("json", None, "file for the figures")
_RECORD = flags.DEFINE_string("record", None, "id of the record to write to results/")
_METHOD = flags.DEFINE_string("method", "gating", "the record's method")
_TARGETS = flags.DEFINE_list("targets", [], "the record's targets: FIGURE<=NUMBER or FIGURE>=NUMBER")

_ROWS = (
    ("accuracy", "accuracy of the .tflite", "{:.4f}"),
    ("accuracy_static", "accuracy, static", "{:.4f}"),
    ("macs_mean", "mean MACs", "{:,.0f}"),
    ("macs_share", "  over the static model's", "{:.4f}"),
    ("latency_share", "latency over the static model's", "{:.4f}"),
    ("latency_per_mac", "  over the share of MACs", "{:.3f}"),
    ("latency_static_ms", "latency, static (ms)", "{:.4f}"),
    ("latency_all_on_ms", "latency, everything on, no IF (ms)", "{:.4f}"),
    ("latency_dynamic_ms", "latency, dynamic (ms)", "{:.4f}"),
    ("latency_p10_ms", "  10th percentile over images", "{:.4f}"),
    ("latency_p90_ms", "  90th percentile over images", "{:.4f}"),
    ("latency_max_ms", "  slowest image", "{:.4f}"),
    ("decider_ms", "deciders alone (ms)", "{:.4f}"),
    ("decider_share", "  over everything on", "{:.4f}"),
    ("overhead", "overhead", "{:.3f}"),
    ("overhead_with_decider", "overhead with decider", "{:.3f}"),
    ("size_bytes", "size (bytes)", "{:,}"),
    ("size_static_bytes", "size, static (bytes)", "{:,}"),
)


def main(argv):
    """Measures, prints and writes."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}; flags start with --.")
    logging.set_verbosity(logging.ERROR)
    start = time.monotonic()
    with terminal.ending("benchmark"):
        if _MODEL.value is None:
            _measure_the_zoo()
            return
        with terminal.quiet():
            found = measure(_MODEL.value, _STATIC.value)
            if _JSON.value:
                from keras_dynamic.files import write_text

                write_text(Path(_JSON.value), json.dumps(found, indent=2) + "\n")
            if _RECORD.value:
                _write_record(found, time.monotonic() - start)
    print(table(found))


def _measure_the_zoo():
    """Measures and prints each dynamic network of the zoo."""
    for flag, name in ((_STATIC, "static"), (_JSON, "json"), (_RECORD, "record")):
        if flag.value is not None:
            raise ValueError(f"--{name} is for one model, got none; name it with --model.")
    with terminal.quiet():
        from keras_dynamic import zoo
    for name in zoo.names():
        row = zoo.describe(name)
        if row["file"].endswith(".keras"):
            with terminal.quiet():
                static = plain_counterpart(load(f"zoo:{name}"), row["network"])
                found = measure(f"zoo:{name}", static)
            print(f"zoo:{name} against {static or 'the same with everything on'}\n\n{table(found)}\n", flush=True)


def measure(model_name, static_name) -> dict:
    """Exports and measures a model.

    Args:
        model_name: of the dynamic model, a .keras file or zoo:NAME.
        static_name: of the static reference, likewise, or a .tflite; None for the same chain with everything on.

    Returns:
        {precision: figures of lite.benchmark}.
    """
    specs = [model_name] if static_name is None else [model_name, static_name]
    for precision in _PRECISIONS.value:
        if precision not in ("float32", "int8"):
            raise ValueError(f"--precisions must be float32 or int8, got {precision!r}.")
    check_models(specs)
    int8 = "--precisions=int8" if "int8" in _PRECISIONS.value else None
    images = chosen("images", _IMAGES.value, specs, "a measurement", TEST)
    calibration = chosen("calibration", _CALIBRATION.value, specs, int8)
    import_own(_IMPORTS.value)

    import numpy as np

    from keras_dynamic import lite
    from keras_dynamic.deciders import PerUnitGates
    from keras_dynamic.layers import DynamicModel
    from keras_dynamic.layers.dynamic_model import as_dynamic
    from keras_dynamic.lite.benchmark import Models, all_on_of, benchmark

    model = as_dynamic(load(model_name), copy=False)
    shape = model.image_shape[1:]
    test = read_images(images, shape, "test")
    if test.y is None:
        raise ValueError(f"--images must be {TEST}, got {images!r} without labels.")
    check_classes("images", images, test, model)
    held_out = None if calibration is None else read_images(calibration, shape).x
    if _FORCE_ALL_ON.value:
        if not isinstance(model.decider, PerUnitGates):
            raise ValueError("--force_all_on opens gates; this model has none.")
        model.decider.set_tau(0.0)
    found = {}
    for precision in _PRECISIONS.value:
        how = (None if precision == "float32" else precision, held_out)
        dynamic = lite.export(model, *how, ("logits", "decisions"))
        if static_name is None:
            static = lite.export(DynamicModel(model.chain, name="all_on"), *how)
        else:
            static = _static_of(static_name, *how)
        exported = Models(static, dynamic, all_on_of(model, *how))
        found[precision] = benchmark(exported, np.asarray(test.x), test.y, _REPEATS.value, _TIMED.value)
    return found


def _static_of(spec, quantize, held_out) -> bytes:
    """Returns the static reference's .tflite, or raises a ValueError if it is of another precision, or decides."""
    from keras_dynamic.lite import read_metadata

    content = static_file(spec, quantize, held_out)
    metadata = read_metadata(content)
    if metadata["decisions"]:
        raise ValueError(f"--static must be a network without decisions, but {spec} has {metadata['decisions']}.")
    if metadata["quantize"] != quantize:
        own, wanted = (each or "float32" for each in (metadata["quantize"], quantize))
        raise ValueError(f"--static={spec} is {own}, but is compared with {wanted}; give --precisions={own}.")
    return content


def table(found) -> str:
    """Returns the figures as text: one column per precision, then activation and time per unit."""
    lines = ["".ljust(36) + "".join(precision.rjust(14) for precision in found)]
    for key, label, form in _ROWS:
        lines.append(label.ljust(36) + "".join(form.format(figures[key]).rjust(14) for figures in found.values()))
    lines.append("\nactivation rate, and time per unit (ms, everything on)")
    for unit in next(iter(found.values()))["unit_ms"]:
        cells = []
        for figures in found.values():
            rate = figures["activation_rates"].get(unit)
            cells.append(f"{'always' if rate is None else f'{rate:.3f}'} {figures['unit_ms'][unit]:.4f}".rjust(18))
        lines.append(unit.ljust(36) + "".join(cells))
    return "\n".join(lines)


def _write_record(found, seconds):
    from keras_dynamic.experiments.records import flat, write_record

    targets = {}
    for target in _TARGETS.value:
        for operation in ("<=", ">="):
            if operation in target:
                name, number = target.split(operation)
                targets[name] = f"{operation} {number}"
    settings = {"model": _MODEL.value, "static": _STATIC.value or "", "seed": 0}
    name = f"{_MODEL.value} against {_STATIC.value or 'the same with everything on'}"
    data = "cifar10, the 1,000 shipped test images" if _IMAGES.value in (None, SHIPPED) else Path(_IMAGES.value).name
    write_record(_RECORD.value, _METHOD.value, name, data, settings, flat(found), targets, seconds)


if __name__ == "__main__":
    app.run(main)
