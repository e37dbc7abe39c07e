"""Models of keras.applications as chains: units, logits, MACs against published ones, overhead of their files."""

import re
import time

import keras
import numpy as np

from keras_dynamic.cost import tree
from keras_dynamic.experiments.records import write_record
from keras_dynamic.layers import DynamicModel
from keras_dynamic.lite import export
from keras_dynamic.lite.benchmark import Models, all_on_of, measure_latency
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import from_functional

_TIMED = 200  # images


def keras_models(config, workdir=None, data_dir=None, record=None) -> dict:
    """Makes a chain of each of several models of keras.applications, with random weights, and measures it.

    The config has models, {name in keras.applications: published MACs, or 0}; image_size, of the images on which logits
    are compared; published_size, at which MACs are counted; exported, names of those that are gated, exported and timed
    with all gates open; precisions; targets and seed.

    Returns:
        {name: figures}: units, units_skippable, skippable_share (of the MACs at image_size), logits_difference (the
        largest of a logit, over the logits' standard deviation), conversion_seconds, macs (at published_size),
        macs_published, and of those exported overhead_float32 and overhead_int8.
    """
    found = {}
    for name, published in config.models.items():
        start = time.monotonic()
        keras.utils.set_random_seed(config.seed)
        model = _made(name, config.image_size)
        found[name] = figures = compared(model, _made(name, config.image_size, classifier_activation=None), config.seed)
        figures["macs"] = tree(_made(name, config.published_size)).total_macs
        if published:
            figures["macs_published"] = published
        if name in config.exported:
            figures |= overheads(model, config.precisions, config.seed)
        print(name, " ".join(f"{key} {value:.4g}" for key, value in figures.items()), flush=True)
        if record:
            targets = {key: bound for key, bound in config.targets.items() if key in figures}
            text = f"random images of {config.image_size} pixels; MACs at {config.published_size} pixels"
            settings = {**config.to_dict(), "models": {name: published}}
            identity = f"{record}-{name.lower()}"
            write_record(identity, "models", name, text, settings, figures, targets, time.monotonic() - start)
    return found


def _made(name, size, **options):
    """Returns a model of keras.applications with random weights, and batch norms that are not those of a new one."""
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), **options)
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if re.search("gamma|moving_variance", variable.path):
            variable.assign(rng.uniform(0.7, 1.3, variable.shape))
        elif re.search("beta|moving_mean", variable.path):
            variable.assign(rng.uniform(-0.3, 0.3, variable.shape))
    return model


def compared(model, without_softmax, seed=0) -> dict:
    """Returns units, units_skippable, skippable_share, logits_difference and conversion_seconds of a model's chain.

    Args:
        model: Keras model that ends in a softmax.
        without_softmax: the same one without; it gets the weights, and the logits are compared with its.
        seed: of the images.
    """
    without_softmax.set_weights(model.get_weights())
    start = time.monotonic()
    chain = from_functional(model)
    seconds = time.monotonic() - start
    network = DynamicModel(chain)
    network.build(model.input_shape)
    images = np.random.default_rng(seed).uniform(0, 255, (4, *model.input_shape[1:])).astype("float32")
    wanted = keras.ops.convert_to_numpy(without_softmax(images, training=False))
    answer = keras.ops.convert_to_numpy(network(images, training=False))
    units = [node for node in network.cost_tree.children if node.name in chain.skippable_names]
    bodies = sum(part.total_macs for unit in units for part in unit.children if part.name == f"{unit.name}/body")
    return {
        "units": len(chain.units),
        "units_skippable": len(chain.skippable_names),
        "skippable_share": bodies / network.cost_tree.total_macs,
        "logits_difference": float(np.abs(answer - wanted).max() / wanted.std()),
        "conversion_seconds": seconds,
    }


def overheads(model, precisions, seed=0) -> dict:
    """Returns the time of a gated network with all gates open over that of its parts, without the gates' own time."""
    gated = ActivationGating(model)
    gated.build(model.input_shape)
    images = np.random.default_rng(seed).uniform(0, 255, (_TIMED, *model.input_shape[1:])).astype("float32")
    found = {}
    for precision in precisions:
        quantize = None if precision == "float32" else precision
        static = export(model, quantize, images)
        dynamic = export(gated, quantize, images, outputs=("logits", "decisions"))
        models = Models(static, dynamic, all_on_of(gated, quantize, images))
        found[f"overhead_{precision}"] = measure_latency(models, images, seed=seed)["overhead"]
    return found
