"""BlockDrop on a ResNet-101 for 224-pixel images, as in the paper: a curriculum, then finetuning.

    CONFIG=configs/blockdrop_resnet101_imagenet.py
    python train_main.py --config=$CONFIG:curriculum --workdir=runs/bd101/curriculum --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:finetuning --workdir=runs/bd101/finetuning --data_dir=$DATA_DIR

configs/imagenet.py says what data and weights it needs. Those of keras.applications' ResNet-101 are version 1, of 7.6 G
MACs; the paper's is version 1.5: '--config.network.version=v1.5 --config.network.weights=' builds that, untrained.

Cost: 45 epochs of 1.2 million images forward and 10 forward and backward, many hours on GPUs. Never run: ImageNet and
weights do not come along. What is tested is that it builds, that it costs what the paper says, and a training step.

The paper's text has 33 units "in four segments [3, 4, 20, 3]", which are 30; 33 units and its 1.56e10 FLOPs are
[3, 4, 23, 3]. Its static baselines of table 4, ResNet-72, -75 and -84, have 14, 15 and 18 units in the third stage:
models.resnet_imagenet((3, 4, 14, 3)). Gamma 2, 5 and 10 gave 75.2, 76.4 and 76.8 % with 18.8, 24.8 and 29.7 units.
"""

from configs import blockdrop_resnet32_cifar10, imagenet

SETTINGS = ("curriculum", "finetuning")


def get_config(stage="curriculum"):
    """Returns the config of one of the two stages."""
    config = blockdrop_resnet32_cifar10.get_config(stage)
    with config.unlocked():
        config.data, config.network = imagenet.images(), imagenet.resnet("resnet101")
    config.evaluation.static = ()
    if stage == "curriculum":
        config.epochs, config.curriculum.epochs = 45, 1
    else:
        config.start_from = "runs/bd101/curriculum"
        config.epochs, config.batch_size = 10, 320
        config.optimizer.schedule, config.optimizer.learning_rate = "constant", 1e-5
        config.method.policy_weight = 320.0
    return config
