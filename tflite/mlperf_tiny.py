r"""Measures a .tflite as MLPerf Tiny does: its quality on a test set, and the memory that it needs.

    python tflite/mlperf_tiny.py --model=resnet8.tflite --data=cifar10_test.npz
    python tflite/mlperf_tiny.py --model=autoencoder.tflite --data=toycar.npz

The quality of a classifier is the share of right answers. A model that gives what it takes is an autoencoder: of each
example the score is the mean squared error, and the quality the area under the ROC curve of the scores. --data is a
folder with a folder of image files for each class, or an .npz: x, [n, ...] as the model takes them, for an autoencoder
also [n, windows, ...], of which the score is the mean, and y, [n], classes, for an autoencoder 1 of what is anomalous.
Any .tflite of one input and one output will do, and those of this package with decisions: exported with
--outputs=logits,macs, the mean of the MACs that the examples take is printed too.
"""

from pathlib import Path

import terminal
from absl import app, flags
from images import TEST, read_images
from roc import area_under_roc

_MODEL = flags.DEFINE_string("model", None, "the .tflite", required=True)
_DATA = flags.DEFINE_string("data", None, f"test set: {TEST}", required=True)


def main(argv):
    """Prints quality and memory."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}; flags start with --.")
    with terminal.ending("mlperf_tiny"), terminal.quiet():
        lines = measure(Path(_MODEL.value), _DATA.value)
    print("\n".join(lines))


def measure(path: Path, data: str) -> list[str]:
    """Returns lines that say what was measured.

    Args:
        path: of the .tflite.
        data: the test set.

    Raises:
        ValueError: if the file is no .tflite, or the test set has no labels, or others than the model.
        OSError: if one cannot be read.
    """
    import numpy as np

    from keras_dynamic import lite
    from keras_dynamic.ops import answers, right_answers

    content = lite.adopt(path.read_bytes())
    runner = lite.Interpreter(content)
    shape, given = runner.inputs["image"].shape[1:], runner.outputs["logits"].shape[1:]
    found = read_images(data, shape, "test")
    x, y = np.asarray(found.x), found.y
    if y is None or len(y) != len(x) or not len(x):
        raise ValueError(
            f"--data must be examples x and as many labels y, got {len(x)} and {0 if y is None else len(y)}."
        )
    if given == shape:
        scores = [anomaly(runner, each) for each in x]
        quality = f"AUC         {area_under_roc(scores, np.asarray(y).ravel()):.4f}"
    else:
        task = lite.read_metadata(content).get("task", "classes")
        if task != "classes":
            raise ValueError(
                f"top-1 is of classifiers, but the answers of {path} are {task}; give a classifier's file."
            )
        right = right_answers(y, (len(x), *given))
        results = [runner.run(each) for each in x]
        found = answers(np.concatenate([each["logits"] for each in results]))
        quality = f"top-1       {np.mean(found == right):.4f}"
        if "macs" in runner.outputs:
            macs = lite.read_metadata(content)["macs_unit"] * np.mean([each["macs"].item() for each in results])
            quality += f"\n  mean MACs   {macs:,.0f}"
    return [f"{path}: {len(x)} examples", f"  {quality}", *memory(content)]


def anomaly(runner, windows) -> float:
    """Returns the mean squared error of an autoencoder on one example.

    Args:
        runner: lite.Interpreter.
        windows: of the model's input, or [windows, ...] of several.
    """
    import numpy as np

    windows = np.asarray(windows, np.float32).reshape(-1, *runner.inputs["image"].shape[1:])
    return float(np.mean([np.square(runner.run(each)["logits"][0] - each).mean() for each in windows]))


def memory(content: bytes) -> list[str]:
    """Returns lines about the MACs and the memory that a .tflite needs.

    Args:
        content: the .tflite, of this package or adopted.
    """
    import tempfile

    from keras_dynamic import lite

    verified = lite.verify(content)
    lines = [f"  MACs        {verified.macs_all_on:,}", f"  file        {len(content):,} bytes"]
    try:
        lines.append(f"  TFLM        {lite.MicroInterpreter(content).arena_bytes():,} bytes of arena, 8-byte pointers")
    except (ImportError, ValueError) as error:
        lines.append(f"  TFLM        not measured: {error}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            written = lite.to_c(content, Path(folder) / "c")
        lines.append(f"  C           {written.constant_bytes:,} bytes of flash, {written.arena_bytes:,} of RAM")
    except ValueError as error:
        lines.append(f"  C           not measured: {error}")
    return lines


if __name__ == "__main__":
    app.run(main)
