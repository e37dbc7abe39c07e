"""ImageNet's images, networks and channel groups, on which experiments stand. Not an experiment of its own.

DATA_DIR holds the TFDS folder imagenet2012/. Training images are read from it epoch by epoch; the 50,000 to judge on
and the 10,000 held-out ones are in memory, 9 GB at 224 pixels. WEIGHTS_DIR holds the weights files of
keras.applications, named as Keras names them.
"""

import ml_collections

RESNET_WEIGHTS = "$WEIGHTS_DIR/{}_weights_tf_dim_ordering_tf_kernels.h5"
MOBILENET_WEIGHTS = "$WEIGHTS_DIR/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_{}.h5"

# Filters per group in each stage. Of a ResNet the paper gives 16, 32, 64 and 128 for expansions, half that for
# contractions, which are the channels that are grouped here.
RESNET_GRANULARITY = {"stage1": 8, "stage2": 16, "stage3": 32, "stage4": 64}

# By width. That of width 1 is the paper's table in section 4.2 (g_exp); the others keep the number of groups as nearly
# as their channels can be divided. The first stage has no expansion.
MOBILENET_GRANULARITY = {
    1.0: {"stage2": 24, "stage3": 24, "stage4": 32, "stage5": 48, "stage6": 64},
    0.75: {"stage2": 24, "stage3": 24, "stage4": 24, "stage5": 36, "stage6": 48},
    0.5: {"stage2": 12, "stage3": 12, "stage4": 16, "stage5": 24, "stage6": 32},
    0.35: {"stage2": 8, "stage3": 8, "stage4": 12, "stage5": 16, "stage6": 24},
}


def images(size=224):
    """Returns the `data` section of ImageNet at so many pixels."""
    return ml_collections.ConfigDict({"name": "imagenet2012", "held_out": 10_000, "augment": True, "size": size})


def resnet(name):
    """Returns the `network` section of 'resnet50' or 'resnet101' with keras.applications' weights, of version 1."""
    return ml_collections.ConfigDict(
        {"name": name, "version": "v1", "num_classes": 1000, "weights": RESNET_WEIGHTS.format(name)}
    )


def mobilenet(width, size):
    """Returns the `network` section of a MobileNetV2 with keras.applications' weights for its width and size."""
    return ml_collections.ConfigDict(
        {
            "name": "mobilenet_v2",
            "width": width,
            "size": size,
            "num_classes": 1000,
            "weights": MOBILENET_WEIGHTS.format(width, size),
        }
    )


def train_as_resnet(config):
    """Sets the training of ResNets in section 4.1: 100 epochs at 0.1, a tenth of that after every 30."""
    config.epochs, config.batch_size = 100, 256
    config.reestimate_images = 12_800  # 50 batches, held in memory; the paper takes 200
    config.optimizer.learning_rate, config.optimizer.nesterov = 0.1, False
    config.optimizer.boundaries, config.optimizer.decay = (30, 60, 90), 0.1


def group_channels(config, granularity, kind):
    """Gates groups of channels and holds their MACs at a target (section 3.4).

    Args:
        config: of base.get_config.
        granularity: {stage: filters per group}.
        kind: 'conditional', or 'pruned', whose gates look at nothing and leave an ordinary network.
    """
    with config.unlocked():
        config.network.granularity = ml_collections.ConfigDict(granularity)
        config.method.gates = "channels"
        config.evaluation.strip_gates = kind == "pruned"
    config.method.data_dependent = kind == "conditional"
    config.method.activation_loss = "macs"
    config.evaluation.static = ()
