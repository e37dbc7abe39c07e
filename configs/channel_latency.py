"""What channel groups save in a .tflite, against the same units without groups; two minutes, or less than one.

    CONFIG=configs/channel_latency.py
    python train_main.py --config=$CONFIG --workdir=runs/channel_latency
    python train_main.py --config=$CONFIG:32_16_8 --workdir=runs/channel_latency

Four units of 64 channels at 16x16 with 4 groups of 16 filters, of which the first always runs. Other settings are
channels_size_filters, the filters being those of a group; they have half of the groups on.
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

SETTINGS = ("64_16_16", "64_8_16", "64_8_8", "64_4_16", "32_16_16", "32_16_8", "32_4_16", "16_32_8")


def get_config(setting="64_16_16"):
    """Returns the config of a setting, channels_size_filters."""
    base.check_setting(setting, SETTINGS)
    whole = setting == SETTINGS[0]
    config = base.get_config()
    with config.unlocked():
        config.job = "channel_latency"
        config.channels, config.size, config.granularity = map(int, setting.split("_"))
        config.units = 4
        groups = config.channels // config.granularity
        config.on = tuple(range(1, groups + 1)) if whole else (groups // 2,)
        config.rounds = 300
        config.targets = ml_collections.ConfigDict(TARGETS if whole else {})
    return config
