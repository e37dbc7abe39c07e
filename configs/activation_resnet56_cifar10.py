"""Pruned ResNet-56 on CIFAR-10 at the settings of Herrmann et al.; from scratch, by channel groups or by units.

    CONFIG=configs/activation_resnet56_cifar10.py
    python train_main.py --config=$CONFIG:channels --workdir=runs/rn56/channels --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:units --workdir=runs/rn56/units --data_dir=$DATA_DIR

Cost: 350 epochs, some 20 minutes on a recent GPU; weeks on 2 CPU cores. Not run yet. The paper has 93.31 % at 0.50 of
the FLOPs for target 0.5, 62.7 M MACs, and 93.86 % without gates (figure 5; the best epoch on the test set).

Gates look at nothing. Of channels, MACs are held at the target (section 3.4) and what is left is made an ordinary
network, stripped.keras. The paper has no granularity for CIFAR; here a unit has four groups, of which one always
runs. Settings as in activation_resnet32_cifar10.py, which says where each comes from.
"""

import ml_collections

from configs import activation_resnet32_cifar10, base

GRANULARITY = {"stage1": 4, "stage2": 8, "stage3": 16}

SETTINGS = ("channels", "units")


def get_config(kind="channels"):
    """Returns the config of 'channels' or 'units'."""
    base.check_setting(kind, SETTINGS)
    config = activation_resnet32_cifar10.get_config()
    config.label, config.network.depth = kind, 56
    config.method.data_dependent, config.method.target = False, 0.5
    if kind == "channels":
        with config.unlocked():
            config.network.granularity = ml_collections.ConfigDict(GRANULARITY)
            config.method.gates = "channels"
            config.evaluation.strip_gates = True
        config.method.activation_loss = "macs"
    config.targets = ml_collections.ConfigDict({"accuracy": ">= 0.9331", "macs_mean": "<= 63000000"})
    return config
