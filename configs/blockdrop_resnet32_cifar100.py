"""BlockDrop on ResNet-32 and CIFAR-100, as in the paper: a curriculum, then finetuning.

    CONFIG=configs/blockdrop_resnet32_cifar100.py
    python train_main.py --config=$CONFIG:curriculum --workdir=runs/bd32_100/curriculum --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:finetuning --workdir=runs/bd32_100/finetuning --data_dir=$DATA_DIR

Cost: some 2 hours on a recent GPU. Not run yet; the paper has 68.7 % with 13.1 of 15 units after finetuning (table 1).
Its gamma for CIFAR-100 is not given: sweep --config.method.gamma over 2, 5 and 10, in both commands.

The network starts from $WEIGHTS_DIR/resnet32_cifar100.npz, which has seen all 50,000 training images, the held-out ones
too: figures on those are too rosy. Settings as in blockdrop_resnet32_cifar10.py, which says where each comes from.
"""

from configs import blockdrop_resnet32_cifar10

SETTINGS = ("curriculum", "finetuning")


def get_config(stage="curriculum"):
    """Returns the config of one of the two stages."""
    config = blockdrop_resnet32_cifar10.get_config(stage)
    config.data.name = "cifar100"
    config.network.depth, config.network.num_classes = 32, 100
    config.network.weights = "$WEIGHTS_DIR/resnet32_cifar100.npz"
    config.evaluation.static = ()
    if stage == "finetuning":
        config.start_from = "runs/bd32_100/curriculum"
    return config
