r"""Exports a dynamic model to a .tflite in which what is skipped is not computed.

    python tflite/export_model.py --model=gated.keras --output=gated.tflite
    python tflite/export_model.py --model=own.keras --quantize=int8 --calibration=photos --output=own_int8.tflite
    python tflite/export_model.py --model=exits.keras --thresholds=input --calibration=photos --output=exits.tflite
    python tflite/export_model.py --model=zoo:resnet8_cifar10_45k,zoo:resnet32_cifar10_45k --macs=34e6 \
        --output=cascade.tflite

A model is a .keras file, of this package or any functional or sequential Keras model, or zoo:NAME. Several of them,
cheapest first, become a cascade: its thresholds are fitted on the images of --calibration, for at most --macs MACs (or
--ms, --mj) per image on average, and --deadline for each, or, without a budget, for the accuracy of the last model.
Those of a network with exits, gates or a policy are fitted likewise if there is a budget. A network with exits that
decides nothing yet gets a Confidence decider for a budget and for --thresholds=input. With --budget no image of a
network with exits exceeds so many MACs.

--calibration is a folder of image files, or one with a folder of them for each class, which a cascade needs. A model
that does not normalise pixels itself also needs --input_mean and --input_std: 0 and 255 if it takes numbers from 0 to
1, 127.5 and 127.5 if from -1 to 1. The file notes both, and the names of the classes.
"""

from pathlib import Path

import budget_flags
import terminal
from absl import app, flags, logging
from budget import fit_thresholds, stopping
from class_names import given_names, known_names
from images import Images, check_classes, chosen, known_normalization, read_images
from models import check_models, import_own, load

_MODEL = flags.DEFINE_list(
    "model", None, "a .keras file or zoo:NAME; several, cheapest first, become a cascade", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "the .tflite to write", required=True)
_QUANTIZE = flags.DEFINE_enum(
    "quantize",
    "none",
    ["none", "float16", "dynamic", "int8"],
    "weights in float16, weights in int8 (dynamic), or everything in int8, which needs --calibration",
)
_INPUT_TYPE = flags.DEFINE_enum(
    "input_type", "float", ["float", "uint8"], "what the .tflite takes: numbers, int8 ones with int8, or pixels"
)
_OUTPUTS = flags.DEFINE_list("outputs", ["logits"], "what the .tflite gives: logits, exits, decisions, macs")
_THRESHOLDS = flags.DEFINE_enum(
    "thresholds",
    "baked",
    ["baked", "input"],
    "whether thresholds of confidences are constants, or an input of the .tflite with a table of those for each budget",
)
_BUDGET = flags.DEFINE_string(
    "budget",
    None,
    "MACs that no image exceeds, of a network that decides exits: a number that is part of the .tflite, or 'input' for "
    "one that it takes with each image",
)
_CALIBRATION = flags.DEFINE_string(
    "calibration",
    None,
    "held-out images for int8, for thresholds and for the table of --thresholds=input: a folder of image files, one "
    "with a folder of them for each class, an .npy of images as the model takes them, an .npz with such images x and "
    "labels y, or 'shipped' (500 of CIFAR-10), the default for networks of the zoo",
)
_CONFIDENCE = flags.DEFINE_enum(
    "confidence",
    None,
    ["max_probability", "margin", "entropy", "label_probability"],
    "how certain a cascade's answers are; label_probability for several labels that may apply together",
)
_IMPORTS = flags.DEFINE_list("imports", [], "Python modules to import first: those that define layers of your own")


def main(argv):
    """Exports, verifies, writes and says what was written."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}; flags start with --.")
    logging.set_verbosity(logging.ERROR)
    with terminal.ending("export_model"), terminal.quiet():
        lines = export_to(Path(_OUTPUT.value))
    print("\n".join(lines))


def export_to(output: Path) -> list[str]:
    """Does what the flags ask for.

    Args:
        output: the .tflite to write.

    Returns:
        Lines that say what was written.

    Raises:
        ValueError: if a model, an image file or a flag is not what it should be.
        OSError: if a file cannot be read or written.
    """
    check_models(_MODEL.value)
    if output.is_dir():
        raise ValueError(f"--output must name a file to write, got the folder {str(output)!r}; add NAME.tflite to it.")
    limit = _limit(_BUDGET.value)
    calibration = chosen("calibration", _CALIBRATION.value, _MODEL.value, needed_for())
    import_own(_IMPORTS.value)

    from keras_dynamic import lite
    from keras_dynamic.files import write_bytes
    from keras_dynamic.layers.dynamic_model import as_dynamic

    loaded = [load(spec) for spec in _MODEL.value]
    model = as_dynamic(loaded[0], copy=False) if len(loaded) == 1 else _cascade(loaded)
    quantize = None if _QUANTIZE.value == "none" else _QUANTIZE.value
    budget = budget_flags.budget(quantize or "float32")
    fit = len(loaded) > 1 or budget_flags.given()
    as_input = _THRESHOLDS.value == "input"
    model = stopping(model) if fit or as_input or limit is not None else model
    images = Images()
    if calibration is not None:
        images = read_images(calibration, model.image_shape[1:])
        if fit or ((quantize == "int8" or as_input) and model.decider.confidence_names):
            check_classes("calibration", calibration, images, model)
    folder = images.class_names if calibration and Path(calibration).is_dir() else ()
    labels = given_names(model.classes, known_names(model.classes, _MODEL.value, folder))
    lines = fit_thresholds(model, images.x, images.y, **budget) if fit else []
    exported = lite.export(
        model,
        quantize=quantize,
        calibration=images.x,
        outputs=_OUTPUTS.value,
        thresholds=_THRESHOLDS.value,
        input_type=None if _INPUT_TYPE.value == "float" else _INPUT_TYPE.value,
        labels=labels,
        normalization=known_normalization(images, lite.normalizes_pixels(model)),
        budget=limit,
    )
    found = lite.verify(exported)
    write_bytes(output, exported)
    return [*lines, *describe(output, found)]


def _limit(text):
    """Returns the value of --budget, as export takes it."""
    if text in (None, "input"):
        return text
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--budget must be 'input' or a number of MACs, got {text!r}.") from None


def _cascade(networks):
    from keras_dynamic import models

    return models.cascade(networks, confidence=_CONFIDENCE.value or "max_probability")


def needed_for() -> str | None:
    """Returns what needs the images of --calibration, the subject of a sentence; None if nothing does."""
    if len(_MODEL.value) > 1:
        return "a cascade"
    if budget_flags.given():
        return "a budget"
    if _QUANTIZE.value == "int8":
        return "--quantize=int8"
    return "--thresholds=input" if _THRESHOLDS.value == "input" else None


def describe(output: Path, found) -> list[str]:
    """Returns lines that say what verify found.

    Args:
        output: the file written.
        found: lite.Verified.
    """
    kind = found.quantize or "float32"
    lines = [f"{output}: {found.size_bytes / 1e6:.2f} MB, {kind}, {found.operators} operators"]
    if not found.decisions:
        return [*lines, f"  MACs        {found.macs_all_on:,}; the model decides nothing"]
    return [
        *lines,
        f"  decisions   {len(found.decisions)}: {', '.join(found.decisions)}",
        f"  MACs        {found.macs_all_on:,} with all decisions on, {found.macs_all_off:,} with all off",
        f"  verified    {found.conditionals} IFs, branches used once; MACs counted in the file equal the model's cost",
    ]


if __name__ == "__main__":
    app.run(main)
