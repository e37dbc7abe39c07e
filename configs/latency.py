"""What is measured in time: channel groups and exits as TFLite, batched serving, a step of the training.

    CONFIG=configs/latency.py
    python train_main.py --config=$CONFIG:channels_64_16_16 --workdir=runs/channel_latency
    python train_main.py --config=$CONFIG:exits --workdir=runs/exit_latency --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:emulator_gated --workdir=runs/emulator/gated
    python train_main.py --config=$CONFIG:arena_gated --workdir=runs/arena/gated
    python train_main.py --config=$CONFIG:stages_cascade --workdir=runs/stages/cascade
    python train_main.py --config=$CONFIG:compact --workdir=runs/compact_time
    python train_main.py --config=$CONFIG:step_time --workdir=runs/step_time
    python train_main.py --config=$CONFIG:step_time_blockdrop --workdir=runs/step_time_blockdrop

docs/results.md has what each gave on 2 CPU cores:

- channels_64_16_16: what channel groups save in a .tflite, against the same units without groups: four units of 64
  channels at 16x16 with 4 groups of 16 filters, of which the first always runs. Two minutes.
- channels_{64_8_16,64_8_8,64_4_16,32_16_16,32_16_8,32_4_16,16_32_8}: other channels_size_filters, the filters being
  those of a group, with half of the groups on. Less than a minute each.
- exits: ResNet-32 with exits as TFLite: time to each exit, accuracy and time under budgets, memory. Some minutes.
  Thresholds are an input of the file; those for a budget come from the table in it, fitted on held-out images. Another
  network: --config.model, a .keras file, and --config.data.name.
- compact: batched serving of ResNet-32 on CPU, the compact execution against the measured times of what images run, on
  the test images that ship: with two exits, at which a third of the images each stop, and with half of its units on, at
  random for each image. About two minutes.
- emulator_{cascade,exits,gated,blockdrop}: the shipped networks as C (lite.to_c) on an emulated Cortex-M3 and M55:
  instructions and memory over those of the static network, answers beside LiteRT's. Debian's gcc-arm-none-eabi,
  libnewlib-arm-none-eabi and qemu-system-arm are needed. About a minute each. With --config.tflm, TensorFlow Lite Micro
  runs the same (lite.firmware): TFLM_LIB_M3, TFLM_LIB_M55 and TFLM_INCLUDE name what you have built; with
  --config.cmsis_nn C has CMSIS-NN's kernels: CMSIS_NN_DIR and CMSIS_NN_LIB_M55. What was missed:
  instructions over MACs of cascades and exits, 1.06 to 1.16 for 1.05, as their easy images run small networks and early
  layers, in which there are fewer multiply-adds for each number that is made; and the program's size over TensorFlow
  Lite Micro's on the M3, 0.34 to 0.40 for 0.3, as both hold C's library and printf.
- arena_{gated8,gated,cascade,blockdrop}: what TensorFlow Lite Micro's interpreter needs of memory, measured here
  with 8-byte pointers, over what the static network needs, with and without lite.plan_arena. gated8 is MLPerf Tiny's
  size of network with untrained gates: memory does not depend on them. Half a minute each.
- stages_{cascade,exits}: the stages of a shipped network (lite.stages), as several files and as one, beside the file
  with conditions that they are cut from: time from image to answer in Python, answers. About a minute each.
- step_time: a masked training step of gated ResNet-32 against plain Keras. Two minutes.
- step_time_blockdrop: a step of BlockDrop's curriculum beside two forward passes and a step of its policy. About a
  minute.
"""

import ml_collections

from configs import base, blockdrop

SIZES = ("64_16_16", "64_8_16", "64_8_8", "64_4_16", "32_16_16", "32_16_8", "32_4_16", "16_32_8")
CHANNEL_TARGETS = {
    "ratio_1_int8": "<= 0.30",
    "ratio_2_int8": "<= 0.55",
    "ratio_4_int8": "<= 1.00",
    "ratio_1_float32": "<= 0.36",
    "ratio_2_float32": "<= 0.68",
    "ratio_4_float32": "<= 1.25",
}
CHANNEL_TARGETS |= {name.replace("ratio_", "ratio_with_gates_"): bound for name, bound in CHANNEL_TARGETS.items()}


def channels(size):
    """Returns the config of channel groups of a size, channels_size_filters."""
    whole = size == SIZES[0]
    config = base.get_config()
    with config.unlocked():
        config.job = "channel_latency"
        config.channels, config.size, config.granularity = map(int, size.split("_"))
        config.units = 4
        groups = config.channels // config.granularity
        config.on = tuple(range(1, groups + 1)) if whole else (groups // 2,)
        config.rounds = 300
        config.targets = ml_collections.ConfigDict(CHANNEL_TARGETS if whole else {})
    return config


def exits(_):
    """Returns the config of exits as TFLite."""
    config = base.get_config()
    with config.unlocked():
        config.job = "exit_latency"
        config.model = "zoo:resnet32_cifar10_exits"
        config.budgets = 5
        config.micro = True
        bounds = {"latency_ratio_max_float32": "<= 1.06", "latency_ratio_max_int8": "<= 1.12"}
        for precision in ("float32", "int8"):
            bounds |= {f"budget_error_{precision}": "<= 0.03", f"arena_ratio_{precision}": "<= 1.10"}
        config.targets = ml_collections.ConfigDict(bounds)
    return config


EMULATED = {
    "cascade": (("resnet8_cifar10_45k", "resnet20_cifar10_45k"), "resnet20_cifar10_45k"),
    "exits": (("resnet32_cifar10_exits",), "resnet32_cifar10_45k"),
    "gated": (("resnet32_cifar10_gated",), "resnet32_cifar10_45k"),
    "blockdrop": (("resnet32_cifar10_blockdrop",), "resnet32_cifar10_45k"),
}
GATED_8 = (("resnet8_cifar10_45k",), "resnet8_cifar10_45k")


def emulator(kind):
    """Returns the config of a shipped network as C on emulated microcontrollers."""
    config = base.get_config()
    with config.unlocked():
        config.job = "emulated"
        config.model, config.static = EMULATED[kind]
        config.macs, config.machines, config.images = 22e6, ("m3", "m55"), 24
        config.tflm = config.cmsis_nn = False  # whether these run the same
        bounds = {"ram_ratio": "<= 1.02"}
        for machine in config.machines:
            bounds |= {f"instructions_over_macs_{machine}": "<= 1.05", f"equal_{machine}": ">= 1"}
        config.targets = ml_collections.ConfigDict(bounds)
    return config


def arena(kind):
    """Returns the config of a shipped network's memory on TensorFlow Lite Micro."""
    config = base.get_config()
    with config.unlocked():
        config.job = "arena"
        config.gates = kind == "gated8"  # whether gates are added
        config.model, config.static = GATED_8 if config.gates else EMULATED[kind]
        config.macs, config.images = 22e6, 100
        bounds = {"arena_ratio": "<= 1.10", "skippable_share": ">= 0.6", "equal": ">= 1"}
        config.targets = ml_collections.ConfigDict(bounds)
    return config


def stages(kind):
    """Returns the config of a shipped network as stages."""
    config = base.get_config()
    with config.unlocked():
        config.job = "stages_time"
        config.model, _ = EMULATED[kind]
        config.macs, config.images, config.repeats = 22e6, 200, 15
        bounds: dict[str, str] = {}
        for precision in ("float32", "int8"):
            bounds |= {f"{form}_ratio_{precision}": "<= 1.10" for form in ("several", "joined")}
            bounds[f"stages_equal_{precision}"] = ">= 1"
        config.targets = ml_collections.ConfigDict(bounds)
    return config


def compact(_):
    """Returns the config of batched serving."""
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


def step_time(method):
    """Returns the config of the time of a training step, of gates or 'blockdrop'."""
    config = blockdrop.defaults() if method == "blockdrop" else base.get_config()
    with config.unlocked():
        config.job = "step_time"
        config.steps = 20
    return config


SETTINGS = base.join_settings(
    {
        "channels": (channels, SIZES),
        "exits": (exits, ("",)),
        "emulator": (emulator, tuple(EMULATED)),
        "arena": (arena, ("gated8", "gated", "cascade", "blockdrop")),
        "stages": (stages, ("cascade", "exits")),
        "compact": (compact, ("",)),
        "step_time": (step_time, ("", "blockdrop")),
    }
)


def get_config(setting="channels_64_16_16"):
    """Returns the config of a setting."""
    base.check_setting(setting, SETTINGS)
    return SETTINGS[setting]()
