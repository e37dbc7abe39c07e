"""SGAD on ResNet-110 and CIFAR-100, as in the paper: MF from scratch, then LF from there.

    CONFIG=configs/sgad_resnet110_cifar100.py
    python train_main.py --config=$CONFIG:mf --workdir=runs/sgad110_100/mf --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:lf --workdir=runs/sgad110_100/lf --data_dir=$DATA_DIR

Cost: 220 epochs each, some 40 minutes together on a recent GPU. Not run yet. The paper has 73.94 % at 0.94 of the MACs
(MF) and at 0.75 (LF; table 1).

Settings as in sgad_resnet32_cifar10.py, which says where each comes from.
"""

from configs import sgad

SETTINGS = ("mf", "lf")


def get_config(setting="mf"):
    """Returns the config of one of the two settings, 'mf' or 'lf'."""
    config = sgad.get_config(setting, "runs/sgad110_100/mf")
    config.network.depth = 110
    config.data.name, config.network.num_classes = "cifar100", 100
    config.evaluation.static = ()
    return config
