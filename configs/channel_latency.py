"""What channel groups save in a .tflite, against the same units without groups; two minutes.

    python train_main.py --config=configs/channel_latency.py --workdir=runs/channel_latency

Four units of 64 channels at 16x16 with 4 groups of 16 filters, of which the first always runs.
"""

import ml_collections


def get_config():
    """Returns the config."""
    return ml_collections.ConfigDict(
        {
            "job": "channel_latency",
            "seed": 0,
            "channels": 64,
            "size": 16,
            "units": 4,
            "granularity": 16,
            "on": (1, 2, 3, 4),
            "rounds": 300,
            "targets": {
                "ratio_1_int8": "<= 0.30",
                "ratio_2_int8": "<= 0.55",
                "ratio_4_int8": "<= 1.00",
                "ratio_1_float32": "<= 0.36",
                "ratio_2_float32": "<= 0.68",
                "ratio_4_float32": "<= 1.25",
            },
        }
    ).lock()
