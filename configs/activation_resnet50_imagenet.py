"""Channel groups of ResNet-50 on ImageNet at the settings of Herrmann et al.: chosen for each image, or pruned.

    CONFIG=configs/activation_resnet50_imagenet.py
    python train_main.py --config=$CONFIG:conditional_0.5 --workdir=runs/rn50/conditional_0.5 --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:pruned_0.5 --workdir=runs/rn50/pruned_0.5 --data_dir=$DATA_DIR

Cost: 100 epochs of 1.27 million images, pruned 130; a day or two on a recent GPU, 150 hours on an older one. Never run:
ImageNet and weights do not come along (configs/imagenet.py says what is needed). What is tested is that it builds.

The paper (figure 4) has 76.13 % at 4.03 G MACs without gates; conditional 76.3, 76.04 and 75.19 % at 2.21, 1.94 and
1.67 G for targets 0.5, 0.4 and 0.3; pruned 76.2, 76.14 and 75.56 % at 2.51, 2.28 and 1.97 G. Its ResNet-50 is version
1.5 with PyTorch's weights. Those of Keras are version 1, 3.86 G MACs, so shares compare and accuracies do not quite.
Settings of section 4.1; annealing of S1.1; here the channels between the 3x3 and the last 1x1 are in groups.
"""

from configs import base, imagenet

SETTINGS = tuple(f"{kind}_{target}" for kind in ("conditional", "pruned") for target in (0.5, 0.4, 0.3))


def get_config(setting="conditional_0.5"):
    """Returns the config of one kind and target."""
    base.check_setting(setting, SETTINGS)
    kind, target = setting.split("_")
    config = base.get_config()
    with config.unlocked():
        config.data, config.network = imagenet.images(), imagenet.resnet("resnet50")
    imagenet.train_as_resnet(config)
    imagenet.group_channels(config, imagenet.RESNET_GRANULARITY, kind)
    config.label, config.method.target = setting, float(target)
    if kind == "pruned":
        config.epochs = 130  # the paper's pruned networks had 30 epochs more
    return config
