"""The main job: a cascade and a gated network from what ships with the package, in minutes on 2 CPU cores.

python train_main.py --config=configs/quickstart.py --workdir=runs/quickstart
"""

import ml_collections

from configs import base

BOTH_TARGETS = {
    "overhead_float32": "<= 1.05",
    "overhead_int8": "<= 1.12",
    "margin_int8": ">= -0.01",
    "minutes": "<= 8",
}
CASCADE_TARGETS = {
    **BOTH_TARGETS,
    "margin_large": ">= -0.01",
    "macs_share": "<= 0.6",
    "latency_share_float32": "<= 0.65",
    "latency_share_int8": "<= 0.65",
    "macs_change_int8": "<= 0.03",
}
GATED_TARGETS = {
    **BOTH_TARGETS,
    "margin_large": ">= -0.035",
    "macs_share": "<= 0.75",
    "overhead_with_decider_float32": "<= 1.08",
    "overhead_with_decider_int8": "<= 1.20",
    "decisions_changed_int8": "<= 0.05",
}


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "quickstart"
        config.networks = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
        config.cascade_share = 0.5  # of the large network's MACs
        config.targets = ml_collections.ConfigDict({"cascade": CASCADE_TARGETS, "gated": GATED_TARGETS})
    config.data = ml_collections.ConfigDict({"name": "shipped", "held_out": 500, "augment": True})
    config.epochs = 12
    config.reestimate_images = 2560
    config.method.always = ("stage2_unit1", "stage3_unit1")
    config.method.open_probability = 0.9
    config.method.gate_noise = False
    config.method.target = 0.745
    config.method.activation_loss = "macs"
    config.method.activation_weight = 100.0
    config.method.weight_decay = 5e-4
    config.method.distillation_weight = 1.0
    config.anneal.a, config.anneal.k = 0.04, 1
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.005
    return config
