r"""Classifies a folder of images in batches under a budget, and says how much faster that is than running everything.

    python tflite/serve_demo.py --images=photos --macs=30e6 --output=photos.csv
    python tflite/serve_demo.py --model=small.keras,large.keras --calibration=held_out --images=photos

A model is a .keras file or zoo:NAME: a cascade, or a network with exits or gates. Several, cheapest first, become a
cascade. Its thresholds are fitted to the budget on the images of --calibration, which the model has not been trained
on. A model that does not normalise pixels itself also needs --input_mean and --input_std, see export_model.py. Without
--images, networks of the zoo classify the test images that ship, which are written to runs/serve_demo/images. It runs
TensorFlow, on CPU unless CUDA_VISIBLE_DEVICES names a GPU.
"""

import csv
import io
import sys
from pathlib import Path

import served_models
import terminal
from absl import app, flags, logging
from budget import fit_thresholds
from class_names import class_names, known_names
from images import SHIPPED, chosen, normalised, normalization

flags.adopt_module_key_flags(served_models)

_SHIPPED = Path("runs/serve_demo/images")

_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "folder of image files, or one with a folder of them for each class; 'shipped' (1,000 of CIFAR-10, in "
    f"{_SHIPPED}) is the default for networks of the zoo",
)
_MACS = flags.DEFINE_float(
    "macs", None, "mean MACs per image at most; half of those of the static network by default", lower_bound=0
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "images at a time", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "CSV to write: a row per image")


def main(argv):
    """Serves and says what came out; ends with 1 if an image could not be read."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}; flags start with --.")
    logging.set_verbosity(logging.ERROR)
    with terminal.ending("serve_demo"), terminal.quiet():
        lines, unread = serve_folder()
    for complaint in unread:
        print(f"serve_demo: {complaint}", file=sys.stderr)
    print("\n".join(lines))
    sys.exit(1 if unread else 0)


def serve_folder() -> tuple[list[str], list[str]]:
    """Does what the flags ask for.

    Returns:
        Lines that say what came out, and a sentence for each image that could not be read.

    Raises:
        ValueError: if a model, the held-out images, a flag or every image is not what it should be.
        OSError: if a file or folder is missing or cannot be written.
    """
    models, fitted_on = served_models.model_names(), served_models.calibration()
    images = chosen("images", _IMAGES.value, models, "serving", "a folder of them")
    if _OUTPUT.value is not None and Path(_OUTPUT.value).is_dir():
        raise ValueError(f"--output must name a CSV to write, got the folder {_OUTPUT.value!r}; add NAME.csv to it.")

    from keras_dynamic import serving
    from keras_dynamic.data.image_files import files_by_class
    from keras_dynamic.files import write_text

    files, _, _ = files_by_class(shipped_images(_SHIPPED) if images == SHIPPED else images)
    model = served_models.served_model(served_models.load_models(models))
    places, static = serving.stopping_places(model), serving.static_network(model)
    shape = tuple(model.image_shape[1:])
    held_out = served_models.held_out_images(model, fitted_on)
    folder = held_out.class_names if fitted_on != SHIPPED else ()
    names = class_names(model.classes, known_names(model.classes, models, folder))
    macs = served_models.macs_of(static)
    budget = macs / 2 if _MACS.value is None else _MACS.value
    lines = fit_thresholds(model, held_out.x, held_out.y, macs=budget)
    reader = Reader(files, shape)
    batches = (normalised(batch, normalization()) for batch in reader.batches(_BATCH_SIZE.value))
    served = serving.serve(model, batches)
    if _OUTPUT.value is not None:
        write_text(_OUTPUT.value, table(reader.read, served, names, places))
        lines.append(f"wrote {_OUTPUT.value}")
    return [*lines, *describe(served, reader, places, budget, static.name, macs)], reader.unread


def shipped_images(folder: Path) -> Path:
    """Writes the test images that ship as PNG files, those that are not there yet, and returns their folder."""
    from PIL import Image

    from keras_dynamic import data
    from keras_dynamic.files import write_bytes

    shipped = data.shipped()
    for number, (image, label) in enumerate(zip(shipped.x_test, shipped.y_test, strict=True)):
        path = folder / f"{number:04d}_{shipped.class_names[label]}.png"
        if not path.exists():
            content = io.BytesIO()
            Image.fromarray(image).save(content, "PNG")
            write_bytes(path, content.getvalue())
    return folder


class Reader:
    """Reads image files in batches, and knows afterwards what became of them.

    Attributes:
        read: paths of the images that were read, in order.
        unread: a sentence for each other.
        resized: how many had another size.
    """

    def __init__(self, files, shape):
        self.files, self.shape = files, shape
        self.read: list[Path] = []
        self.unread: list[str] = []
        self.resized = 0
        if shape[-1] not in (1, 3):
            raise ValueError(f"image files have 1 or 3 channels, but the model takes {shape[-1]}; name another.")

    def batches(self, size):
        """Yields uint8 images [size, height, width, channels], the last of them fewer.

        Args:
            size: images at a time.

        Raises:
            ValueError: in the end, if no image could be read.
        """
        import numpy as np

        from keras_dynamic import data

        batch = []
        for path in self.files:
            try:
                pixels, note = data.read_image(path, self.shape)
            except ValueError as error:
                self.unread.append(str(error))
                continue
            batch.append(pixels)
            self.read.append(path)
            self.resized += bool(note)
            if len(batch) == size:
                yield np.stack(batch)
                batch = []
        if not self.read:
            raise ValueError(f"none of the {len(self.files)} files in {self.files[0].parent} is an image; put some in.")
        if batch:
            yield np.stack(batch)


def table(paths, served, names, places) -> str:
    """Returns the CSV: file (bytes of its name that are no UTF-8 as Python escapes), class, probability, stopped, macs.

    Args:
        paths: of the images.
        served: serving.Served.
        names: of the classes.
        places: where images stop.
    """
    import numpy as np

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "class", "probability", "stopped", "macs"])
    chances = np.exp(served.logits.astype(float) - served.logits.max(axis=1, keepdims=True))
    chances = chances.max(axis=1) / chances.sum(axis=1)
    for path, top, chance, place, macs in zip(
        paths, served.predictions, chances, served.stopped, served.macs, strict=True
    ):
        rows.writerow([path, names[top], f"{chance:.4f}", places[place], int(macs)])
    return text.getvalue().encode("utf-8", "backslashreplace").decode()


def describe(served, folder, places, budget, static_name, static_macs) -> list[str]:
    """Returns the lines about a folder.

    Args:
        served: serving.Served.
        folder: Reader, which has read it.
        places: where images stop.
        budget: mean MACs per image.
        static_name: of the network that runs everything.
        static_macs: its MACs.
    """
    count = len(served.stopped)
    resized = f", {folder.resized:,} of them resized" if folder.resized else ""
    stops = (f"{name} {(served.stopped == place).sum():,}" for place, name in enumerate(places))
    same = (served.predictions == served.predictions_static).mean()
    return [
        f"{count:,} images in batches of {_BATCH_SIZE.value}{resized}",
        f"  stopped     {', '.join(stops)}",
        f"  MACs        {served.macs.mean():,.0f} per image, mean; budget {budget:,.0f}",
        f"  throughput  {count / served.seconds:,.0f} images/s, {served.seconds_static / served.seconds:.2f} times "
        f"{static_name}'s with everything on: {count / served.seconds_static:,.0f} images/s, {static_macs:,} MACs",
        f"  answers     {same:.2%} are those of {static_name}",
    ]


if __name__ == "__main__":
    app.run(main)
