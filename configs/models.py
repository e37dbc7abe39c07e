"""Models of keras.applications as chains: units found, logits compared, MACs against published ones.

    python train_main.py --config=configs/models.py --workdir=runs/models

About five minutes on 2 CPU cores; with random weights, as these play no part in what is measured. Three of the models
are gated and exported besides, and timed with all gates open, in float32 and in int8: --config.exported="()" leaves
that out. Another model: --config.models is a dictionary {name in keras.applications: published MACs, or 0}.

    python train_main.py --config=configs/models.py --config.job=fit_memory --workdir=runs/memory

measures how much memory it takes to fit the thresholds of a cascade of two of them on 2,000 images (ten minutes).
"""

import ml_collections

from configs import base

# MACs (multiply-adds) as the papers, or their authors' pages, give them at 224 pixels; Xception's 8.4 G are of 299.
MODELS = {
    "ResNet50": 3.8e9,
    "ResNet101": 7.6e9,
    "ResNet50V2": 0.0,
    "MobileNet": 569e6,
    "MobileNetV2": 300e6,
    "MobileNetV3Small": 56e6,
    "MobileNetV3Large": 219e6,
    "EfficientNetB0": 390e6,
    "EfficientNetV2B0": 0.7e9,
    "DenseNet121": 2.87e9,
    "NASNetMobile": 564e6,
    "Xception": 0.0,
    "ConvNeXtTiny": 4.5e9,
}


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "keras_models"
        config.models = ml_collections.ConfigDict(MODELS)
        config.image_size, config.published_size = 96, 224
        config.exported = ("MobileNetV2", "ResNet50V2", "EfficientNetB0")
        config.precisions = ("float32", "int8")
        config.cascade, config.images = ("MobileNetV2", "ResNet50"), 2000
        targets = {
            "peak_memory_bytes": "<= 3e9",
            "logits_difference": "<= 0.00001",
            "conversion_seconds": "<= 2",
            "overhead_float32": "<= 1.05",
            "overhead_int8": "<= 1.12",
        }
        config.targets = ml_collections.ConfigDict(targets)
    return config
