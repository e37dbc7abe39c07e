"""ResNet-32 with three exits on its way, trained from the plain network within half an hour on 2 CPU cores, CIFAR-10.

    CONFIG=configs/exits_resnet32_cpu.py
    python train_main.py --config=$CONFIG --workdir=runs/exits/resnet32 --data_dir=$DATA_DIR

IMTA's phase I: all exits at once, under gradient equilibrium, at a rate that does not take the trained network apart.
This run's network is zoo:resnet32_cifar10_exits.
"""

import ml_collections

from configs import base, imta

AFTER = ("stage2_unit2", "stage2_unit5", "stage3_unit2")


def get_config():
    """Returns the config."""
    config = imta.get_config("I")
    with config.unlocked():
        config.network = ml_collections.ConfigDict({**base.get_config().network, "exits": AFTER, "exit_filters": 64})
    config.label = "exits"
    config.mixed_precision = True
    config.batch_size = 128
    config.epochs = 3
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.006
    config.method.weight_decay = 5e-4
    config.evaluation.macs = 48e6
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    config.targets = ml_collections.ConfigDict({"seconds": "<= 3600"})
    return config
