"""Batched serving on CPU: the compact execution against the measured times of what images run; about two minutes.

    python train_main.py --config=configs/compact_time.py --workdir=runs/compact_time

ResNet-32 on a batch of the test images that ship: with two exits, at which a third of the images each stop, and with
half of its units on, at random for each image.
"""

import ml_collections

from configs import base


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "compact_time"
        config.rounds = 30
        config.exits = ml_collections.ConfigDict({"after": ("stage1_unit5", "stage2_unit5")})
        config.units = ml_collections.ConfigDict({"open_probability": 0.5})
        config.targets = ml_collections.ConfigDict(
            {"overhead_exits": "<= 1.15", "overhead_units": "<= 1.15", "difference": "<= 1e-5"}
        )
    config.batch_size = 256
    config.data.name, config.data.held_out = "shipped", 500
    return config
