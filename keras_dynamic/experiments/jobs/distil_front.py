"""Small networks distilled to run in front of a large one: how well a cascade of them does, and how fast."""

import json
import math
import time
from pathlib import Path

import keras

from keras_dynamic import lite
from keras_dynamic.callbacks import RequireFiniteLoss
from keras_dynamic.cost import tree
from keras_dynamic.data import random_crop_flip, read_folder
from keras_dynamic.evaluation.evaluate import compiled_outcome, evaluate
from keras_dynamic.experiments.jobs.evaluate_static import data_text, describe, judge_stages
from keras_dynamic.experiments.letters import LETTERS, SIZE, render
from keras_dynamic.experiments.networks import build_network, title
from keras_dynamic.experiments.records import flat, write_record
from keras_dynamic.experiments.splits import Splits, load_splits
from keras_dynamic.files import replacing, write_json
from keras_dynamic.models import DISCOUNTS, cascade
from keras_dynamic.models import distil_front as distil
from keras_dynamic.report.measure import PRECISIONS, lite_figures


def distil_front(config, workdir, data_dir=None, record=None) -> dict:
    """Distils the config's front networks from its large one, and judges the cascade of all on the test images.

    Temperatures, discount and thresholds are fitted on the held-out images, on which no network was trained. What is
    distilled is kept in the folder, so that the same command goes on where it stopped.

    The config has data, network, seed, targets, and front: shares, epochs, views, label_weight, and macs, the budget
    that thresholds are fitted to, as a share of the large network's; 0 for the large one's own accuracy.

    Returns:
        figures: those of judge_stages, of each network alone on the test images, and of the .tflite files; minutes,
        that the distillation took, of all calls that came to its end.
    """
    splits, large = load_splits(config.data, data_dir), build_network(config.network)
    named = f"{title(config.network)} ({describe(config.network)})"
    return _judge(config, large, named, splits, data_text(config, splits), Path(workdir), record, random_crop_flip)


def distil_letters(config, workdir, data_dir=None, record=None) -> dict:
    """Does what distil_front does for a Keras model of 96 pixels that it trains first, on folders of rendered letters.

    The config has seed, targets, front, as distil_front, and letters: counts, {part: images of each letter}, and epochs
    of the large network.

    Returns:
        figures, as distil_front.
    """
    workdir, asked = Path(workdir), config.letters
    folder = render(workdir / "letters", asked.counts.to_dict(), config.seed)
    parts = [read_folder(folder / part, (SIZE, SIZE, 3)) for part in ("train", "held_out", "test")]
    train, held_out, test = ((part.images, part.labels) for part in parts)
    splits = Splits(train, held_out, test, tuple(LETTERS))
    path = workdir / "large.keras"
    if not path.exists():
        large = _large_network(config.seed, asked.epochs * math.ceil(len(splits.train[0]) / _BATCH))
        large.fit(*splits.train, _BATCH, asked.epochs, verbose=2, callbacks=[RequireFiniteLoss()])
        with replacing(path) as temporary:
            large.save(temporary)
    large = keras.models.load_model(path)
    text = f"rendered letters of {SIZE} pixels, {len(splits.test[0]):,} test images"
    return _judge(config, large, "a residual network of 12 layers in plain Keras", splits, text, workdir, record, None)


_BATCH = 64


def _large_network(seed, steps):
    """Returns a residual network as a user may write it, compiled for so many steps."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers

    def convolution(x, filters, stride=1):
        x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization(momentum=0.9)(x)

    image = keras.Input((SIZE, SIZE, 3))
    x = layers.ReLU()(convolution(layers.Rescaling(1 / 127.5, -1)(image), 16, 2))
    for stage, filters in enumerate((16, 32, 64, 128)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = convolution(layers.ReLU()(convolution(x, filters, stride)), filters)
            shortcut = x
            if stride > 1:
                shortcut = layers.Conv2D(filters, 1, use_bias=False)(layers.AveragePooling2D(2)(x))
            x = layers.ReLU()(layers.Add()([y, shortcut]))
    model = keras.Model(image, layers.Dense(len(LETTERS))(layers.GlobalAveragePooling2D()(x)), name="large")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def _judge(config, large, named, splits, text, workdir, record, augment) -> dict:
    """Distils, makes the cascade, judges it and writes its record."""
    start, asked, (x, y) = time.monotonic(), config.front, splits.train
    fronts = distil(
        large,
        x,
        y,
        share=tuple(asked.shares),
        epochs=asked.epochs,
        views=asked.views,
        augment=augment,
        label_weight=asked.label_weight,
        seed=config.seed,
        folder=workdir / "distilled",
        verbose=2,
    )
    noted = workdir / "seconds.json"
    seconds = time.monotonic() - start + (json.loads(noted.read_text()) if noted.exists() else 0.0)
    write_json(noted, seconds)
    model = cascade([*fronts, large])
    model.fit_temperatures(*splits.held_out)
    whole = tree(large).total_macs
    macs = asked.macs * whole if asked.macs else None
    fitted = model.fit_thresholds(*splits.held_out, macs=macs, discounts=DISCOUNTS)
    print(f"discount {model.discount}, thresholds {fitted.thresholds}, held out {fitted.accuracy:.2%}", flush=True)
    figures = judge_stages(model, *splits.test) | {"macs_static": whole, "discount": model.discount}
    for name, network in zip(("front", "middle"), fronts, strict=False):
        figures[f"macs_{name}"] = network.cost_tree.total_macs
        figures[f"accuracy_{name}"] = evaluate(network, *splits.test).accuracy
    figures["accuracy_large"] = evaluate(large, *splits.test).accuracy
    model.save(workdir / "cascade.keras")
    static = {precision: lite.export(large, way, splits.held_out[0]) for precision, way in PRECISIONS.items()}
    x_test, y_test = splits.test
    judged = evaluate(model, x_test, y_test, outcome=compiled_outcome(model))
    figures |= lite_figures("cascade", model, static, splits, judged, workdir)
    figures = flat(figures) | {
        "margin_large": figures["accuracy"] - figures["accuracy_large"],
        "macs_share": figures["macs_mean"] / whole,
        "minutes": seconds / 60,
    }
    print(" ".join(f"{name} {value:.5g}" for name, value in figures.items()), flush=True)
    if record:
        count = f"{len(fronts)} front networks" if len(fronts) > 1 else "a front network"
        label, targets = f"{count}, distilled from {named}", config.targets.to_dict()
        write_record(record, "cascade", label, text, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures
