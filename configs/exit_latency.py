"""ResNet-32 with exits as TFLite: time to each exit, accuracy and time under budgets, memory; some minutes.

    python train_main.py --config=configs/exit_latency.py --workdir=runs/exit_latency --data_dir=$DATA_DIR

Thresholds are an input of the file; those for a budget come from the table in it, fitted on held-out images. Another
network: --config.model, a .keras file, and --config.data.name.
"""

import ml_collections

from configs import base


def get_config():
    """Returns the config."""
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
