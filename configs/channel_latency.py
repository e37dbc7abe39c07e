"""What channel groups save in a .tflite, against the same units without groups; two minutes.

    python train_main.py --config=configs/channel_latency.py --workdir=runs/channel_latency

Four units of 64 channels at 16x16 with 4 groups of 16 filters, of which the first always runs.
"""

import ml_collections

from configs import base

TARGETS = {
    "ratio_1_int8": "<= 0.30",
    "ratio_2_int8": "<= 0.55",
    "ratio_4_int8": "<= 1.00",
    "ratio_1_float32": "<= 0.36",
    "ratio_2_float32": "<= 0.68",
    "ratio_4_float32": "<= 1.25",
}
TARGETS |= {name.replace("ratio_", "ratio_with_gates_"): bound for name, bound in TARGETS.items()}


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "channel_latency"
        config.channels, config.size, config.units = 64, 16, 4
        config.granularity = 16
        config.on = (1, 2, 3, 4)
        config.rounds = 300
        config.targets = ml_collections.ConfigDict(TARGETS)
    return config
