"""Networks with exits as TFLite: time to each exit, accuracy and time under budgets, memory; some minutes.

    CONFIG=configs/exit_latency.py
    python train_main.py --config=$CONFIG:cifar10 --workdir=runs/exit_latency/cifar10 --data_dir=$DATA_DIR

Thresholds are an input of the file; those for a budget come from the table in it, fitted on held-out images. cifar100
takes the network of configs/imta_cifar100_cpu.py, which must have been trained, cifar10 that of the zoo.
"""

import ml_collections

from configs import base

MODELS = {"cifar10": "zoo:resnet32_cifar10_exits", "cifar100": "runs/imta/ge_isc_ofa_0/model.keras"}

SETTINGS = tuple(MODELS)


def get_config(data="cifar10"):
    """Returns the config of 'cifar10' or 'cifar100'."""
    base.check_setting(data, SETTINGS)
    config = base.get_config()
    with config.unlocked():
        config.job = "exit_latency"
        config.model = MODELS[data]
        config.data.name = data
        config.budgets = 5
        config.micro = True
        bounds = {"latency_ratio_max_float32": "<= 1.06", "latency_ratio_max_int8": "<= 1.12"}
        for precision in ("float32", "int8"):
            bounds |= {f"budget_error_{precision}": "<= 0.03", f"arena_ratio_{precision}": "<= 1.10"}
        config.targets = ml_collections.ConfigDict(bounds)
    return config
