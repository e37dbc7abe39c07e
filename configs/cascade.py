"""Cascades of plain ResNets on CIFAR-10, cheapest first; nothing is trained.

    CONFIG=configs/cascade.py
    python train_main.py --config=$CONFIG:resnet8_20_32 --workdir=runs/cascade --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:resnet20_32_74 --workdir=runs/cascade74 --data_dir=$DATA_DIR

- resnet8_20_32: the shipped networks for half of ResNet-32's MACs. About 3 minutes on 2 CPU cores. Expect 93.4 % at 36
  M MACs or less.
- resnet20_32_74: by label-free quantiles. About 6 minutes. WEIGHTS_DIR holds resnet74_cifar10.npz. ResNet-74 was
  trained on the held-out images too: it stands last, and nothing of its own output is fitted. Expect 94.4 % at 59 M
  MACs.
"""

import ml_collections

from configs import base
from configs.plain import ON_45K, ON_50K, network

SHIPPED = {depth: network(depth, f"zoo:resnet{depth}_cifar10_45k", ON_45K) for depth in (8, 20, 32)}

CASCADES = {  # networks, mean MACs that thresholds are fitted to, quantiles instead of them, targets
    "resnet8_20_32": (tuple(SHIPPED.values()), 34.4e6, (), {"accuracy": ">= 0.934", "macs_mean": "<= 36e6"}),
    "resnet20_32_74": (
        (SHIPPED[20], SHIPPED[32], network(74, "$WEIGHTS_DIR/resnet74_cifar10.npz", ON_50K)),
        0.0,
        (0.15, 0.15),
        {"accuracy": ">= 0.944", "macs_mean": "<= 59e6"},
    ),
}

SETTINGS = tuple(CASCADES)


def get_config(setting="resnet8_20_32"):
    """Returns the config of a setting."""
    base.check_setting(setting, SETTINGS)
    config = base.get_config()
    networks, macs, quantiles, targets = CASCADES[setting]
    with config.unlocked():
        config.job = "cascade"
        config.networks = networks
        config.cascade = ml_collections.ConfigDict({"macs": macs, "quantiles": quantiles, "temperatures": False})
        config.targets = ml_collections.ConfigDict(targets)
    return config
