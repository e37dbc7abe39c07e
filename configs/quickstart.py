"""The main job: a cascade and a network with an exit from what ships with the package, in minutes on 2 CPU cores.

The exit is a shortened copy of the rest of the network, trained on 3,500 images that the network has not seen; the
network itself stays as it is.

python train_main.py --config=configs/quickstart.py --workdir=runs/quickstart
"""

import ml_collections

from configs import base, imta

BOTH_TARGETS = {
    "overhead_float32": "<= 1.05",
    "overhead_int8": "<= 1.12",
    "margin_int8": ">= -0.01",
    "minutes": "<= 5",
}
CASCADE_TARGETS = {
    **BOTH_TARGETS,
    "margin_large": ">= -0.01",
    "macs_share": "<= 0.6",
    "latency_share_float32": "<= 0.65",
    "latency_share_int8": "<= 0.65",
    "macs_change_int8": "<= 0.03",
}
EXITS_TARGETS = {
    **BOTH_TARGETS,
    "margin_large": ">= -0.015",
    "macs_share": "<= 0.75",
    "margin_static_twin": ">= 0",
    "overhead_with_decider_float32": "<= 1.08",
    "overhead_with_decider_int8": "<= 1.20",
    "decisions_changed_int8": "<= 0.05",
}


def get_config():
    """Returns the config."""
    config = imta.defaults("I")
    with config.unlocked():
        config.job = "quickstart"
        config.networks = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
        config.cascade_share = 0.5  # of the large network's MACs
        config.targets = ml_collections.ConfigDict({"cascade": CASCADE_TARGETS, "exits": EXITS_TARGETS})
        config.collaboration_share = 0.5  # of the exit's logits, added to those of the large network
        config.network = ml_collections.ConfigDict(
            {
                **base.get_config().network,
                "exits": ("stage2_unit1",),
                "exit_copies": ("stage3_unit1", "stage3_unit5"),
                "frozen": True,
            }
        )
    config.data = ml_collections.ConfigDict({"name": "shipped", "held_out": 500, "augment": True})
    config.batch_size, config.epochs = 128, 8
    config.method.gradient_equilibrium = False  # nothing before the exit is trained
    config.method.alpha, config.method.temperature = 0.1, 4.0
    config.method.weight_decay = 5e-4
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.02
    config.evaluation.macs = 49.6e6  # 0.72 of the large network's; test images need not keep to it exactly
    return config
