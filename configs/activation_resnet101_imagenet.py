"""Gated units of ResNet-101 on ImageNet at the settings of Herrmann et al., S4.3.

    CONFIG=configs/activation_resnet101_imagenet.py
    python train_main.py --config=$CONFIG:conditional_0.5 --workdir=runs/rn101/conditional_0.5 --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:conditional_0.6 --workdir=runs/rn101/conditional_0.6 --data_dir=$DATA_DIR

Cost: 100 epochs of 1.27 million images; some days on a recent GPU, 200 hours and more. Never run: ImageNet and weights
do not come along (configs/imagenet.py says what is needed). What is tested is that it builds.

The paper (figure 17) has 77.37 % at 7.6 G MACs without gates, 77.57 % at 4.60 G for target 0.5 and 77.78 % at 5.28 G
for 0.6, with thresholds. Its weights are PyTorch's; those here are keras.applications', version 1.
"""

from configs import base, imagenet

SETTINGS = ("conditional_0.5", "conditional_0.6")


def get_config(setting="conditional_0.5"):
    """Returns the config of one target."""
    base.check_setting(setting, SETTINGS)
    config = base.get_config()
    with config.unlocked():
        config.data, config.network = imagenet.images(), imagenet.resnet("resnet101")
    imagenet.train_as_resnet(config)
    config.label, config.method.target = setting, float(setting.split("_")[1])
    config.evaluation.static = ()
    return config
