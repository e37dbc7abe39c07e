"""Classifies image files on a board, with nothing but NumPy, Pillow and an interpreter.

Copy this file and a .tflite there:

    pip install ai-edge-litert pillow
    python on_a_board.py cascade.tflite cat.png ship.jpg

For each image it prints the class, the path that it took (1 for each part that ran; of files exported with the output
decisions) and the time. Old boards: pip install "tflite-runtime==2.14.0" "numpy<2" pillow; the interpreter that is
installed is taken. What the file notes is not read: if the model does not normalise pixels itself, give --mean and
--std. run_model.py, which needs the package, knows these, labels, budgets and the file's own thresholds.
"""

import argparse
import importlib
import json
import statistics
import sys
import time

import numpy as np
from PIL import Image, ImageOps

RUNTIMES = {
    "ai_edge_litert": "ai_edge_litert.interpreter",
    "tflite_runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}


def main():
    """Classifies the images that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the .tflite")
    parser.add_argument("images", nargs="+", help="image files")
    parser.add_argument("--runtime", choices=list(RUNTIMES), help="the interpreter; the first installed by default")
    parser.add_argument("--mean", type=float, nargs="+", default=[0.0], help="of pixels, if the model does not know it")
    parser.add_argument("--std", type=float, nargs="+", default=[1.0], help="likewise")
    parser.add_argument(
        "--thresholds", type=float, nargs="+", default=[], help="of a model that takes them as an input"
    )
    parser.add_argument("--budget", type=int, default=2**31 - 1, help="of a model that takes it, in the model's unit")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each image, of which the median time is told")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each image, with the raw numbers")
    given = parser.parse_args()
    model, unread = Model(given), 0
    for path in given.images:
        try:
            found, milliseconds = model.run(path)
        except (OSError, ValueError) as error:
            print(f"on_a_board: cannot read image {path}, so it is left out: {error}", file=sys.stderr)
            unread += 1
            continue
        if given.json:
            print(json.dumps({"image": path, "ms": milliseconds, **{k: v.ravel().tolist() for k, v in found.items()}}))
            continue
        path_taken = "".join(str(int(run)) for run in found.get("decisions", np.array([])).ravel())
        taken = f"  path {path_taken}" if path_taken else ""
        print(f"{path}: class {model.label(found['logits'])}{taken}  {milliseconds:.3g} ms")
    sys.exit(1 if unread else 0)


class Model:
    """A .tflite in an interpreter, on one thread.

    Args:
        given: the command line's arguments.
    """

    def __init__(self, given):
        self.given = given
        try:
            self.interpreter = _installed(given.runtime).Interpreter(model_path=given.model, num_threads=1)
            self.interpreter.allocate_tensors()
            # The signature only tells the names: called by it, tflite-runtime 2.14 leaves out its fast kernels.
            signature = self.interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            _end(f"{given.model} is no .tflite that runs here ({str(error).splitlines()[0]}); export or copy it again.")
        self.inputs, self.outputs = signature.get_input_details(), signature.get_output_details()
        if not {"image"} <= set(self.inputs) <= {"image", "thresholds", "budget"} or "logits" not in self.outputs:
            _end(
                "expected a model with an input 'image', perhaps 'thresholds' and 'budget', and an output 'logits', "
                f"got inputs {list(self.inputs)} and outputs {list(self.outputs)}; export it with keras_dynamic."
            )
        ends = self.inputs["image"], self.outputs["logits"]
        shape, logits = ([int(size) for size in port["shape"]] for port in ends)
        if len(shape) != 4 or shape[-1] not in (1, 3) or len(logits) != 2:
            _end(f"expected a classifier of images of 1 or 3 channels, got {shape} to {logits}.")
        count = int(self.inputs["thresholds"]["shape"][-1]) if "thresholds" in self.inputs else 0
        if len(given.thresholds) != count:
            _end(f"the model takes {count} thresholds as an input, got {len(given.thresholds)}; give --thresholds.")
        normalised = given.mean != [0.0] or given.std != [1.0]
        if normalised and self.inputs["image"]["dtype"] == np.uint8:
            _end("the model takes bytes and normalises them itself; leave out --mean and --std.")

    def label(self, logits):
        """Returns the class: of one logit, 1 if it is positive."""
        if logits.size > 1:
            return int(logits.argmax())
        return int(logits.item() > self.outputs["logits"]["quantization"][1])

    def run(self, path):
        """Returns {output: array} and the milliseconds that an image took.

        Args:
            path: of the image file.
        """
        values = {"image": self._pixels(path), "thresholds": self.given.thresholds, "budget": [self.given.budget]}
        feed = {name: _encoded(np.asarray(values[name]), port) for name, port in self.inputs.items()}
        times = []
        for _ in range(max(1, self.given.repeat)):
            for name, values in feed.items():
                self.interpreter.set_tensor(self.inputs[name]["index"], values)
            start = time.perf_counter()
            self.interpreter.invoke()
            times.append(1e3 * (time.perf_counter() - start))
        found = {name: self.interpreter.get_tensor(port["index"]) for name, port in self.outputs.items()}
        return found, statistics.median(times)

    def _pixels(self, path):
        """Returns an image of the model's size, float32 [1, height, width, channels], or bytes if it takes them."""
        port = self.inputs["image"]
        _, height, width, channels = port["shape"]
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"expected pixels of 8 bits, got mode {image.mode}")
            image = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
            if image.size != (width, height):
                image = image.resize((width, height), Image.BILINEAR)
            pixels = np.asarray(image).reshape(1, height, width, channels)
        return pixels if port["dtype"] == np.uint8 else (pixels - np.array(self.given.mean)) / np.array(self.given.std)


def _encoded(values, port):
    """Returns numbers as an input takes them: in its type, quantised if it is."""
    scale, zero = port["quantization"]
    if scale and values.dtype != port["dtype"]:
        limits = np.iinfo(port["dtype"])
        values = np.clip(np.rint(values / scale) + zero, limits.min, limits.max)
    shape = [max(1, size) for size in port["shape"]]
    return values.astype(port["dtype"]).reshape(shape)


def _installed(name):
    """Returns the module of an interpreter, of the first one that is installed if none is named."""
    for module in [RUNTIMES[name]] if name else RUNTIMES.values():
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError:
            continue
    _end(f"{name or 'an interpreter'} is not installed; pip install ai-edge-litert.")


def _end(message):
    sys.exit(f"on_a_board: {message}")


if __name__ == "__main__":
    main()
