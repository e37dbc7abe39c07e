"""Channel groups of a small MobileNetV2 on CIFAR-10's images at 96 pixels, sized for an hour on 2 CPU cores.

    CONFIG=configs/activation_mobilenet_v2_cpu.py
    python train_main.py --config=$CONFIG:conditional --workdir=runs/mv2/cpu --data_dir=$DATA_DIR/tfds
    python train_main.py --config=$CONFIG:pruned --workdir=runs/mv2/cpu_pruned --data_dir=$DATA_DIR/tfds

It reads images as the experiments on ImageNet do, from the TFDS folder cifar10/, in crops enlarged to 96 pixels. Width
0.35 costs 11 M MACs. It starts from random weights and trains for few epochs: it shows the way, not the result.
Not run yet.
"""

import ml_collections

from configs import base, imagenet

SETTINGS = ("conditional", "pruned")

WIDTH, SIZE = 0.35, 96


def get_config(kind="conditional"):
    """Returns the config of 'conditional' or 'pruned'."""
    base.check_setting(kind, SETTINGS)
    config = base.get_config()
    with config.unlocked():
        config.data = ml_collections.ConfigDict({"name": "cifar10", "held_out": 2000, "augment": True, "size": SIZE})
        config.network = imagenet.mobilenet(WIDTH, SIZE)
    config.network.num_classes, config.network.weights = 10, ""
    imagenet.group_channels(config, imagenet.MOBILENET_GRANULARITY[WIDTH], kind)
    config.label, config.method.target, config.method.activation_weight = kind, 0.6, 10.0
    config.epochs, config.batch_size, config.reestimate_images = 12, 64, 2560
    config.mixed_precision = True
    config.anneal.a, config.anneal.k = 0.1, 1
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.1
    return config
