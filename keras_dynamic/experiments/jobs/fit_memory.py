"""Memory that fitting a cascade's thresholds takes, on large images."""

import resource
import time

import keras
import numpy as np

from keras_dynamic.experiments.records import write_record
from keras_dynamic.models import cascade


def fit_memory(config, workdir=None, data_dir=None, record=None) -> dict:
    """Fits the thresholds of a cascade of keras.applications models, with random weights, on random images.

    The config has cascade, names in keras.applications, cheapest first; images, their number; published_size, their
    size in pixels; targets and seed.

    Returns:
        {figure: number}: peak_memory_bytes, the most that this process has held, TensorFlow, the networks and the
        images with it; images_bytes, of the images alone; seconds_fit.
    """
    start = time.monotonic()
    keras.utils.set_random_seed(config.seed)
    shape = (config.published_size, config.published_size, 3)
    networks = [getattr(keras.applications, name)(weights=None, input_shape=shape) for name in config.cascade]
    model = cascade(networks)
    rng = np.random.default_rng(config.seed)
    x = rng.integers(0, 256, (config.images, *shape), np.uint8)
    y = rng.integers(0, model.classes, config.images)
    begin = time.monotonic()
    model.fit_thresholds(x, y)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # Linux counts in KiB
    figures = {"peak_memory_bytes": peak, "images_bytes": x.nbytes, "seconds_fit": time.monotonic() - begin}
    if record:
        text = f"{config.images:,} random images of {config.published_size} pixels"
        names, settings = ", ".join(config.cascade), config.to_dict()
        targets = {name: bound for name, bound in config.targets.items() if name in figures}
        write_record(record, "cascade", names, text, settings, figures, targets, time.monotonic() - start)
    return figures
