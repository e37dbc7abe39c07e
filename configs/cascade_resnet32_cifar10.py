"""Cascade of the shipped ResNet-8, -20 and -32 for half of ResNet-32's MACs; about 3 minutes on 2 CPU cores.

python train_main.py --config=configs/cascade_resnet32_cifar10.py --workdir=runs/cascade --data_dir=$DATA_DIR
"""

import ml_collections

from configs import base
from configs.plain_cifar10 import ON_45K, network


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "cascade"
        config.networks = (
            network(8, "zoo:resnet8_cifar10_45k", ON_45K),
            network(20, "zoo:resnet20_cifar10_45k", ON_45K),
            network(32, "zoo:resnet32_cifar10_45k", ON_45K),
        )
        config.cascade = ml_collections.ConfigDict({"macs": 34.4e6, "quantiles": (), "temperatures": False})
        config.targets = ml_collections.ConfigDict({"accuracy": ">= 0.934", "macs_mean": "<= 36e6"})
    return config
