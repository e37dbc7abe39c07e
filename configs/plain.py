"""The static frontier: plain networks on all CIFAR-10 test images; about 5 minutes on 2 CPU cores.

    python train_main.py --config=configs/plain.py --workdir=runs/plain --data_dir=$DATA_DIR

WEIGHTS_DIR holds resnet74_cifar10.npz; the other four ship with the package.
"""

import ml_collections

from configs import base

ON_45K = "trained on x_train[:45000]"
ON_50K = "trained on all 50,000 training images, 112 epochs, SGD"


def network(depth, weights, training, classes=10):
    """Returns the section of one network."""
    return ml_collections.ConfigDict({"depth": depth, "num_classes": classes, "weights": weights, "training": training})


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "evaluate_static"
        config.networks = (
            network(8, "zoo:resnet8_cifar10_45k", ON_45K),
            network(14, "zoo:resnet14_cifar10_45k", ON_45K),
            network(20, "zoo:resnet20_cifar10_45k", ON_45K),
            network(32, "zoo:resnet32_cifar10_45k", ON_45K),
            network(74, "$WEIGHTS_DIR/resnet74_cifar10.npz", ON_50K),
        )
    return config
