"""Cascade of ResNet-20, -32 and -74 by label-free quantiles; about 6 minutes on 2 CPU cores.

    python train_main.py --config=configs/cascade_resnet74_cifar10.py --workdir=runs/cascade74 --data_dir=$DATA_DIR

WEIGHTS_DIR holds resnet74_cifar10.npz. ResNet-74 was trained on the held-out images too: it stands last, and nothing of
its own output is fitted.
"""

import ml_collections

from configs import base
from configs.plain_cifar10 import ON_45K, ON_50K, network


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "cascade"
        config.networks = (
            network(20, "zoo:resnet20_cifar10_45k", ON_45K),
            network(32, "zoo:resnet32_cifar10_45k", ON_45K),
            network(74, "$WEIGHTS_DIR/resnet74_cifar10.npz", ON_50K),
        )
        config.cascade = ml_collections.ConfigDict({"macs": 0.0, "quantiles": (0.15, 0.15), "temperatures": False})
        config.targets = ml_collections.ConfigDict({"accuracy": ">= 0.944", "macs_mean": "<= 59e6"})
    return config
