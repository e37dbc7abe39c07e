"""Channel groups of MobileNetV2 on ImageNet at the settings of Herrmann et al.: chosen for each image, or pruned.

    CONFIG=configs/activation_mobilenet_v2_imagenet.py
    python train_main.py --config=$CONFIG:conditional_96_1.0 --workdir=runs/mv2/conditional_96 --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:pruned_224_1.0 --workdir=runs/mv2/pruned_224 --data_dir=$DATA_DIR

A setting is a kind, the pixels and the width: 224 or 96, and 1.0, 0.75, 0.5 or 0.35. The paper's targets are 0.5, 0.3
and 0.1: --config.method.target=0.3.

Cost: 700 epochs of 1.27 million images; a week on a recent GPU at 224 pixels, 60 hours at 96. Never run: ImageNet and
weights do not come along (configs/imagenet.py says what is needed). What is tested is that it builds.

The paper gates width 1.0 (figure 4). At 96 pixels, 56 M MACs and 60.3 %: conditional 61.62, 60.81 and 59.54 % at 40.05,
35.66 and 30.04 M; pruned 61.11, 59.81 and 59.18 % at 40.33, 34.31 and 30.1 M. At 224, 300 M and 71.8 %: conditional
70.56, 70.16 and 69.08 % at 196.85, 162.07 and 147.34 M; pruned 70.02, 69.41 and 68.62 % at 209.02, 181.01 and 160.21 M.
Learning rate 0.5, times 0.99 after each epoch (section 4.1); half the epochs at 0.98 gave the same accuracy at a few
MACs more (figure 15). Annealing of S1.1; granularity of section 4.2, here of the expansions of units with a shortcut.
"""

from configs import base, imagenet

SETTINGS = tuple(
    f"{kind}_{size}_{width}"
    for size in (224, 96)
    for width in imagenet.MOBILENET_GRANULARITY
    for kind in ("conditional", "pruned")
)


def get_config(setting="conditional_224_1.0"):
    """Returns the config of one kind, number of pixels and width."""
    base.check_setting(setting, SETTINGS)
    kind, size, width = setting.split("_")
    config = base.get_config()
    with config.unlocked():
        config.data = imagenet.images(int(size))
        config.network = imagenet.mobilenet(float(width), int(size))
    imagenet.group_channels(config, imagenet.MOBILENET_GRANULARITY[float(width)], kind)
    config.label, config.method.target = setting, 0.5
    config.epochs, config.batch_size, config.reestimate_images = 700, 256, 12_800
    config.optimizer.learning_rate, config.optimizer.nesterov = 0.5, False
    config.optimizer.boundaries, config.optimizer.decay = tuple(range(1, config.epochs)), 0.99
    return config
