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
import threading

import served_models
import terminal
from absl import app, flags, logging
from budget import fit_thresholds
from images import normalised, normalization

flags.adopt_module_key_flags(served_models)

_MACS = flags.DEFINE_float(
    "macs",
    None,
    "mean MACs per image at most; where thresholds must be fitted, half of those of the static network by default",
    lower_bound=0,
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


def main(argv):
    """Serves until a signal comes."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}; flags start with --.")
    logging.set_verbosity(logging.ERROR)
    with terminal.ending("serve"), terminal.quiet():
        service, lines = start()
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
    loaded = served_models.load_models(served_models.model_names())

    from keras_dynamic import serving
    from keras_dynamic.layers.dynamic_model import as_dynamic

    model = served_models.served_model(loaded)
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
        model: of served_models.served_model.
        loaded: what it was made of.
        static: the network that runs everything.
    """
    if _MACS.value is None and model is loaded[0]:
        return []
    held_out = served_models.held_out_images(model, served_models.calibration())
    macs = served_models.macs_of(static) / 2 if _MACS.value is None else _MACS.value
    return fit_thresholds(model, held_out.x, held_out.y, macs=macs)


if __name__ == "__main__":
    app.run(main)
