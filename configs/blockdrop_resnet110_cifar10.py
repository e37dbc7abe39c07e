"""BlockDrop on ResNet-110 and CIFAR-10, as in the paper: a curriculum, then finetuning.

    CONFIG=configs/blockdrop_resnet110_cifar10.py
    python train_main.py --config=$CONFIG:curriculum --workdir=runs/bd110/curriculum --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:finetuning --workdir=runs/bd110/finetuning --data_dir=$DATA_DIR

Cost: 8 hours on a recent GPU. Not run yet; the paper has 91.9, 93.0 and 93.6 % with 10.3, 13.8 and 16.9 of 54 units
for gamma 2, 5 and 10 (table 3): --config.method.gamma=10 in both commands.

The network starts from $WEIGHTS_DIR/resnet110_cifar10.npz, which has seen all 50,000 training images, the held-out ones
too: figures on those are too rosy. Settings as in blockdrop_resnet32_cifar10.py, which says where each comes from.
"""

from configs import blockdrop_resnet32_cifar10

SETTINGS = ("curriculum", "finetuning")


def get_config(stage="curriculum"):
    """Returns the config of one of the two stages."""
    config = blockdrop_resnet32_cifar10.get_config(stage)
    config.network.depth = 110
    config.network.weights = "$WEIGHTS_DIR/resnet110_cifar10.npz"
    if stage == "finetuning":
        config.start_from = "runs/bd110/curriculum"
    return config
