"""Batch activation gating of ResNet-110 on CIFAR-10 at the settings of Herrmann et al.; from scratch.

    python train_main.py --config=configs/activation_resnet110_cifar10.py --workdir=runs/activation --data_dir=$DATA_DIR

Cost: 350 epochs, some 40 minutes on a recent GPU; weeks on 2 CPU cores. Not run yet. The paper has 94.36 % at 0.65 of
the FLOPs for target 0.6 (figure 5; the best epoch on the test set), and 93.39 % for its ResNet-110 without gates.

Settings as in activation_resnet32_cifar10.py, which says where each comes from.
"""

from configs import activation_resnet32_cifar10


def get_config():
    """Returns the config."""
    config = activation_resnet32_cifar10.get_config()
    config.network.depth = 110
    return config
