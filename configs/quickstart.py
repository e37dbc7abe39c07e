"""The main job: a cascade and a gated network from what ships with the package, in minutes on 2 CPU cores.

    python train_main.py --config=configs/quickstart.py --workdir=runs/quickstart
"""

import ml_collections

from configs import base


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "quickstart"
        config.networks = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
        config.cascade_share = 0.5  # of the large network's MACs
    config.data = ml_collections.ConfigDict({"name": "shipped", "held_out": 500, "augment": True})
    config.epochs = 8
    config.reestimate_images = 2560
    config.method.always = ("stage2_unit1", "stage3_unit1")
    config.method.open_probability = 0.9
    config.method.target = 0.71
    config.method.activation_loss = "macs"
    config.method.activation_weight = 100.0
    config.method.weight_decay = 5e-4
    config.method.distillation_weight = 1.0
    config.anneal.a, config.anneal.k = 0.1, 1
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.005
    return config
