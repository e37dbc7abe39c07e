"""SGAD on ResNet-110 and CIFAR-10, as in the paper: MF from scratch, then LF from there.

    CONFIG=configs/sgad_resnet110_cifar10.py
    python train_main.py --config=$CONFIG:mf --workdir=runs/sgad110/mf --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:lf --workdir=runs/sgad110/lf --data_dir=$DATA_DIR

Cost: 220 epochs each, some 40 minutes together on a recent GPU. Not run yet. The paper has 94.20 % at 0.86 of the MACs
(MF) and 93.70 % at 0.23 (LF; table 1).

Settings as in sgad_resnet32_cifar10.py, which says where each comes from.
"""

from configs import sgad

SETTINGS = ("mf", "lf")


def get_config(setting="mf"):
    """Returns the config of one of the two settings, 'mf' or 'lf'."""
    config = sgad.get_config(setting, "runs/sgad110/mf")
    config.network.depth = 110
    return config
