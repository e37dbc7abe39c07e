r"""Serves a network by HTTP: requests become batches, of which each part of it runs only on images that need it.

    python tflite/serve.py --model=exits.keras --port=8000
    curl --data-binary @cat.png "http://127.0.0.1:8000/predict?logits=1"

A model is a .keras file or zoo:NAME: a cascade, or a network with exits, gates or a policy. It keeps the thresholds
that it was saved with. With --macs they are fitted to that budget, on the images of --calibration; those of several
models, which become a cascade, and of exits without a decider always are. kd.serving.Service says what it answers.
SIGTERM and Ctrl-C end it once the requests that have arrived are answered. It runs TensorFlow, on CPU unless
CUDA_VISIBLE_DEVICES names a GPU.
"""

import signal
import sys
import threading

import terminal
from absl import app, flags, logging
from budget import fit_thresholds, macs_of, served_model
from images import check_classes, chosen, normalised, normalization, read_images
from models import check_models, import_own, load

_ZOO = ["zoo:resnet8_cifar10_45k", "zoo:resnet20_cifar10_45k", "zoo:resnet32_cifar10_45k"]

_MODEL = flags.DEFINE_list("model", _ZOO, "a .keras file or zoo:NAME; several, cheapest first, become a cascade")
_MACS = flags.DEFINE_float(
    "macs",
    None,
    "mean MACs per image at most; where thresholds must be fitted, half of those of the static network by default",
    lower_bound=0,
)
_CALIBRATION = flags.DEFINE_string(
    "calibration",
    None,
    "held-out images for the thresholds: a folder of image files, one with a folder of them for each class, which a "
    "cascade needs, an .npy of images as the model takes them, an .npz with such images x and labels y, or 'shipped' "
    "(500 of CIFAR-10), the default for networks of the zoo",
)
_STATIC = flags.DEFINE_bool("static", False, "serve the network that runs everything in its place, whatever --macs")
_HOST = flags.DEFINE_string("host", "127.0.0.1", "address to listen on; 0.0.0.0 for those of all networks")
_PORT = flags.DEFINE_integer("port", 8000, "0 for any that is free", lower_bound=0, upper_bound=65535)
_LARGEST_BATCH = flags.DEFINE_integer(
    "largest_batch", 64, "images of a batch, and of a request, at most", lower_bound=1
)
_WAIT_MS = flags.DEFINE_float("wait_ms", 5, "milliseconds that images wait at most for others to come", lower_bound=0)
_QUEUE = flags.DEFINE_integer("queue", 512, "images that may wait at most; more are refused with 503", lower_bound=1)
_LARGEST_BODY = flags.DEFINE_integer("largest_body", 16 * 2**20, "bytes of a request at most", lower_bound=1)
_IMPORTS = flags.DEFINE_list("imports", [], "Python modules to import first: those that define layers of your own")


def main(argv):
    """Serves until a signal comes."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}; flags start with --.")
    logging.set_verbosity(logging.ERROR)
    try:
        with terminal.quiet():
            service, lines = start()
    except terminal.EXPECTED as error:
        sys.exit(f"serve: {error}")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    print("\n".join([*lines, f"serving on {service.url}"]), flush=True)
    while not ended.wait(1):  # Python calls the handler in this thread, once it wakes up, whichever got the signal
        pass
    service.close()


def start():
    """Does what the flags ask for.

    Returns:
        (serving.Service, lines that say what it serves).

    Raises:
        ValueError: if a model, the held-out images or a flag is not what it should be.
        OSError: if a file is missing, or the address is taken.
    """
    check_models(_MODEL.value)
    import_own(_IMPORTS.value)

    from keras_dynamic import serving
    from keras_dynamic.layers.dynamic_model import as_dynamic

    loaded = [load(spec) for spec in _MODEL.value]
    model = served_model(loaded)
    static = as_dynamic(serving.static_network(model), copy=False)
    lines = [] if _STATIC.value else fitted(model, loaded, static)
    lines.insert(0, f"{static.name}, with everything on" if _STATIC.value else model.name)
    mean_and_std = normalization()
    service = serving.Service(
        static if _STATIC.value else model,
        _HOST.value,
        _PORT.value,
        _LARGEST_BATCH.value,
        _WAIT_MS.value,
        _QUEUE.value,
        _LARGEST_BODY.value,
        lambda pixels: normalised(pixels, mean_and_std),
    )
    return service, lines


def fitted(model, loaded, static) -> list[str]:
    """Fits the thresholds, if a budget or the model asks for it, and returns a line that says what they give.

    Args:
        model: of served_model.
        loaded: what it was made of.
        static: the network that runs everything.
    """
    if _MACS.value is None and model is loaded[0]:
        return []
    calibration = chosen("calibration", _CALIBRATION.value, _MODEL.value, "a budget")
    held_out = read_images(calibration, tuple(model.image_shape[1:]))
    check_classes("calibration", calibration, held_out, model)
    macs = macs_of(static) / 2 if _MACS.value is None else _MACS.value
    return fit_thresholds(model, held_out.x, held_out.y, macs=macs)


if __name__ == "__main__":
    app.run(main)
