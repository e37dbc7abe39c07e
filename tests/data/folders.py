"""Small TFDS folders, written by TFDS' own writer."""

import numpy as np
import pytest

CLASSES = ["barn", "eagle", "snowy"]


def image(number, height=5, width=6):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def example(number, **changes):
    return {"id": f"{number:05d}", "image": image(number), "label": CLASSES[number % 3], **changes}


def prepare(data_dir, name, splits, shape=(5, 6, 3), drop=(), encoding="png"):
    """Writes a TFDS folder with TFDS' own writer; the images are made here, nothing is downloaded."""
    tfds = pytest.importorskip("tensorflow_datasets")
    features = {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=shape, encoding_format=encoding),
        "label": tfds.features.ClassLabel(names=CLASSES),
    }
    kept = {key: feature for key, feature in features.items() if key not in drop}
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        data_dir=data_dir,
        split_datasets={
            split: [(n, {key: e[key] for key in kept}) for n, e in enumerate(examples)]
            for split, examples in splits.items()
        },
        features=tfds.features.FeaturesDict(kept),
        disable_shuffling=True,
    )
