r"""Exports a dynamic model to a .tflite in which what is skipped is not computed.

    python tflite/export_model.py --model=gated.keras --output=gated.tflite
    python tflite/export_model.py --model=gated.keras --quantize=int8 --output=gated_int8.tflite
    python tflite/export_model.py --model=exits.keras --thresholds=input --output=exits.tflite
    python tflite/export_model.py --model=zoo:resnet8_cifar10_45k,zoo:resnet32_cifar10_45k --macs=34e6 \
        --output=cascade.tflite

A model is a .keras file or zoo:NAME. Several of them, cheapest first, become a cascade: its thresholds are fitted on
the images of --calibration, for at most --macs MACs per image on average or, without --macs, for the accuracy of the
last model. Those of a network with exits, gates or a policy are fitted likewise if --macs is given. A network with
exits that decides nothing yet gets a Confidence decider for --macs and for --thresholds=input.
"""

import sys
from pathlib import Path

import terminal
from absl import app, flags, logging
from budget import fit_thresholds, stopping
from models import check_classes, check_images, check_models, import_own, load, read_images

_MODEL = flags.DEFINE_list(
    "model", None, "a .keras file or zoo:NAME; several, cheapest first, become a cascade", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "the .tflite to write", required=True)
_QUANTIZE = flags.DEFINE_enum("quantize", "none", ["none", "int8"], "type of the exported model")
_OUTPUTS = flags.DEFINE_list("outputs", ["logits"], "what the .tflite gives: logits, exits, decisions, macs")
_THRESHOLDS = flags.DEFINE_enum(
    "thresholds",
    "baked",
    ["baked", "input"],
    "whether thresholds of confidences are constants, or an input of the .tflite with a table of those for each budget",
)
_CALIBRATION = flags.DEFINE_string(
    "calibration",
    "shipped",
    "held-out images for int8, for thresholds and for the table of --thresholds=input, pixels 0 to 255: 'shipped' (500 "
    "of CIFAR-10), an .npy of images, or an .npz with images x and, for a cascade, labels y",
)
_MACS = flags.DEFINE_float(
    "macs", None, "mean MACs per image at most, by a cascade, exits, gates or a policy", lower_bound=0
)
_IMPORTS = flags.DEFINE_list("imports", [], "Python modules to import first: those that define layers of your own")


def main(argv):
    """Exports, verifies, writes and says what was written."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}; flags start with --.")
    logging.set_verbosity(logging.ERROR)
    try:
        with terminal.quiet():
            lines = export_to(Path(_OUTPUT.value))
    except terminal.EXPECTED as error:
        sys.exit(f"export_model: {error}")
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
    check_files(output)
    import_own(_IMPORTS.value)

    from keras_dynamic import lite, models
    from keras_dynamic.files import write_bytes

    loaded = [load(spec) for spec in _MODEL.value]
    model = loaded[0] if len(loaded) == 1 else models.cascade(loaded)
    quantize = None if _QUANTIZE.value == "none" else _QUANTIZE.value
    fit = len(loaded) > 1 or _MACS.value is not None
    as_input = _THRESHOLDS.value == "input"
    model = stopping(model) if fit or as_input else model
    decider = getattr(model, "decider", None)
    if decider is not None and (fit or ((quantize or as_input) and decider.confidence_names)):
        check_classes(_CALIBRATION.value, model)
    images, labels = read_images(_CALIBRATION.value) if quantize or fit or as_input else (None, None)
    lines = fit_thresholds(model, images, labels, _MACS.value) if fit else []
    exported = lite.export(
        model, quantize=quantize, calibration=images, outputs=_OUTPUTS.value, thresholds=_THRESHOLDS.value
    )
    found = lite.verify(exported)
    write_bytes(output, exported)
    return [*lines, *describe(output, found)]


def check_files(output: Path):
    """Looks at the files that the flags name, before anything slow begins.

    Args:
        output: the .tflite to write.

    Raises:
        ValueError: if the output is a folder, or a model is no whole .keras file.
        FileNotFoundError: if a model or the calibration file is missing.
    """
    if output.is_dir():
        raise ValueError(f"--output must name a file to write, got the folder {str(output)!r}; add NAME.tflite to it.")
    check_models(_MODEL.value)
    check_images(_CALIBRATION.value)


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
