"""Classifies image files with an exported .tflite and says which path each one took.

    python tflite/run_model.py --model=gated.tflite cat.png ship.jpg
    python tflite/run_model.py --model=exits.tflite --macs=5e6 --labels=names.txt cat.png ship.jpg

Runs on LiteRT, without TensorFlow. Pixels are normalised, and classes named, as the file says. The path is told if the
model was exported with --outputs=logits,decisions, the MACs if it gives decisions or macs. --macs, --ms, --mj and
--deadline choose the thresholds of a model that takes them as an input (--thresholds=input), from its table; without a
budget they are those that the model notes. --budget is what each image may spend, of a model that takes it as an input.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import budget_flags
import terminal
from absl import app, flags
from class_names import class_names
from images import normalised

# Keras is only there because the package imports it: its lightest backend will do, where what that needs is installed.
if all(importlib.util.find_spec(name) for name in ("jax", "scipy")):
    os.environ["KERAS_BACKEND"] = "numpy"

_MODEL = flags.DEFINE_string("model", None, "the .tflite, exported by keras_dynamic", required=True)
_BUDGET = flags.DEFINE_float(
    "budget", None, "MACs that no image exceeds, of a model exported with --budget=input", lower_bound=0
)
_THREADS = flags.DEFINE_integer("threads", 1, "threads of the interpreter", lower_bound=1)


def main(argv):
    """Classifies the images and prints what came out; ends with 1 if an image could not be read."""
    paths = argv[1:]
    if not paths:
        raise app.UsageError("name one or more image files after the flags.")
    with terminal.ending("run_model"):
        with terminal.quiet():
            model = load(Path(_MODEL.value))
        names = class_names(model.interpreter.outputs["logits"].shape[-1], model.labels)
    from keras_dynamic import data

    unread = 0
    for path in paths:
        try:
            pixels, note = data.read_image(path, model.interpreter.inputs["image"].shape[1:])
        except ValueError as error:
            print(f"run_model: {error}", file=sys.stderr)
            unread += 1
            continue
        takes_bytes = model.interpreter.inputs["image"].dtype == pixels.dtype  # and rescales them itself
        image = pixels if takes_bytes else normalised(pixels, model.normalization)
        results = model.interpreter.run(image, **model.given)
        print("\n".join(describe(path, note, results, model.metadata, names)))
    sys.exit(1 if unread else 0)


class Model(NamedTuple):
    """An opened .tflite.

    Attributes:
        interpreter: lite.Interpreter.
        metadata: of this package.
        labels: names of the classes, or None.
        normalization: (mean, std) of pixels, or None.
        given: {further input: values}.
    """

    interpreter: Any
    metadata: dict
    labels: list[str] | None
    normalization: tuple | None
    given: dict


def load(path: Path) -> Model:
    """Opens a model.

    Args:
        path: of the .tflite.

    Raises:
        ValueError: if it is no whole .tflite, keras_dynamic did not export it, it has no thresholds for a budget, or
            it does not give one answer for an image.
        FileNotFoundError: if there is no such file.
    """
    from keras_dynamic import lite

    if not path.is_file():
        raise FileNotFoundError(f"--model must name a .tflite, got {str(path)!r}, which is no file; export one first.")
    content = path.read_bytes()
    try:
        lite.verify(content)
        interpreter = lite.Interpreter(content, threads=_THREADS.value)
        precision = lite.read_metadata(content)["quantize"] or "float32"
        asked = budget_flags.budget(precision)
        given = {"thresholds": lite.thresholds_for(content, **asked)} if budget_flags.given() else {}
        if _BUDGET.value is not None and "budget" not in interpreter.inputs:
            raise ValueError("the model takes no budget as an input; export it with --budget=input.")
        given |= {} if _BUDGET.value is None else {"budget": _BUDGET.value}
        labels, normalization = lite.read_labels(content), lite.read_normalization(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if "image" not in interpreter.inputs or "logits" not in interpreter.outputs:
        raise ValueError(f"{path}: expected an input image and an output logits, as export writes; export it again.")
    image, logits = interpreter.inputs["image"].shape, interpreter.outputs["logits"].shape
    if len(image) != 4 or image[-1] not in (1, 3) or len(logits) != 2:
        raise ValueError(
            f"{path}: expected images of 1 or 3 channels and logits [1, classes], got {list(image)} and "
            f"{list(logits)}; run it with keras_dynamic.lite.Interpreter."
        )
    return Model(interpreter, lite.read_metadata(content), labels, normalization, given)


def describe(path: str, note: str, results, metadata, names: list[str]) -> list[str]:
    """Returns the lines about one image.

    Args:
        path: of the image.
        note: on how it was read, or ''.
        results: outputs of the model by name.
        metadata: of the model.
        names: of the classes.
    """
    answer = answer_of(results["logits"].ravel(), metadata.get("task", "classes"), names)
    lines = [f"{path}: {answer}" + (f" ({note})" if note else "")]
    decided = None
    if "decisions" in results:
        decided = dict(zip(metadata["decisions"], results["decisions"].ravel().tolist(), strict=True))
        on = [name for name, run in decided.items() if run]
        # What lies inside something skipped goes without saying.
        off = [name for name, run in decided.items() if not run and decided.get(name.rpartition("/")[0], 1)]
        lines.append(f"  on: {', '.join(on) or 'none'}; off: {', '.join(off) or 'none'}")
    elif metadata["decisions"]:
        lines.append("  path not told: export the model with --outputs=logits,decisions")
    else:
        lines.append("  the model decides nothing")
    macs = macs_of(results, decided, metadata)
    return lines if macs is None else [*lines, f"  {macs:,} MACs"]


def answer_of(logits, task: str, names: list[str]) -> str:
    """Returns what logits, [classes], answer, in words.

    Args:
        logits: of one image.
        task: one of ops.TASKS: the likeliest class, all labels that are likely to apply, or numbers.
        names: of the classes, labels or numbers.
    """
    import numpy as np

    logits = logits.astype(np.float64)
    if task == "values":
        return ", ".join(f"{value:.6g}" for value in logits)
    if task == "labels":
        chances = 1 / (1 + np.exp(-logits))
        applying = [f"{name} {chance:.1%}" for name, chance in zip(names, chances, strict=True) if chance > 0.5]
        return ", ".join(applying) or "none of the labels"
    if len(logits) == 1:  # of the second of two classes, of which the first has logit 0
        logits = np.append(0.0, logits)
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    return f"{names[int(chances.argmax())]}, {chances.max():.1%}"


def macs_of(results, decided, metadata) -> int | None:
    """Returns the MACs that an image took, or None if the model does not give them.

    Args:
        results: outputs of the model by name.
        decided: {decision name: 0 or 1}, or None.
        metadata: of the model.
    """
    if "macs" in results:
        return int(results["macs"].item()) * metadata["macs_unit"]
    from keras_dynamic.lite.metadata import macs_under

    if decided is None and metadata["decisions"]:
        return None
    return int(macs_under(metadata["cost"], decided or {}))


if __name__ == "__main__":
    app.run(main)
