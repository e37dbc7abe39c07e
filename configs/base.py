"""What the configs share: the settings that each one starts from, and ImageNet's. Not an experiment of its own.

For ImageNet, DATA_DIR holds the TFDS folder imagenet2012/. Training images are read from it epoch by epoch; the 50,000
to judge on and the 10,000 held-out ones are in memory, 9 GB at 224 pixels. WEIGHTS_DIR holds the weights files of
keras.applications, named as Keras names them.
"""

import functools

import ml_collections

STATIC = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")  # zoo names of plain networks
RESNET_WEIGHTS = "$WEIGHTS_DIR/{}_weights_tf_dim_ordering_tf_kernels.h5"


def join_settings(families):
    """Returns {'NAME_KIND': function without arguments that returns the config}.

    Args:
        families: {'NAME': (function of a kind that returns its config, kinds)}; the kind '' adds nothing to the name.
    """
    return {
        f"{name}_{kind}".removesuffix("_"): functools.partial(make, kind)
        for name, (make, kinds) in families.items()
        for kind in kinds
    }


def check_setting(setting, known):
    """Raises a ValueError if a config, written CONFIG.py:SETTING, has no such setting.

    Args:
        setting: what came.
        known: the config's settings, the default first.
    """
    if setting not in known:
        raise ValueError(
            f"the config has the settings {', '.join(known)}, got {setting!r}; write CONFIG.py:{next(iter(known))}."
        )


def get_config():
    """Returns a locked config: gates at one target rate, no training budget of its own."""
    config = ml_collections.ConfigDict()
    config.job = "train"
    config.label = ""  # what a record calls this setting, after the network's name
    config.seed = 0
    config.epochs = 1
    config.start_from = ""  # folder of another run, or a .keras file, whose weights this one starts with
    config.batch_size = 128
    config.reestimate_images = 6000  # augmented training images for batch norm afterwards; 0 keeps moving averages
    config.mixed_precision = False  # bfloat16 layers, float32 weights
    config.distribute = ""  # 'mirrored' for all GPUs of the machine, 'workers' for several machines

    # size: photographs of any size, ImageNet's for one, are read from a TFDS folder epoch by epoch, cropped to so many
    # pixels. Not set here: images of one size, in memory.
    config.data = ml_collections.ConfigDict({"name": "cifar10", "held_out": 5000, "augment": True})

    # name: of experiments.networks.NETWORKS, with that network's own settings; without one, a ResNet of this depth for
    # CIFAR or, with stages, a bottleneck network of so many units a stage for 224-pixel images.
    config.network = ml_collections.ConfigDict(
        {"depth": 32, "stages": (), "num_classes": 10, "weights": "zoo:resnet32_cifar10_45k"}
    )

    # Not set here, of activation_gating: gates ('units', 'channels' or 'channels and units'),
    # init_gates_by_importance (before the first epoch, see transform.init_gates_by_importance), gates_detached
    # (activation losses move gates alone),
    # variable_target.
    config.method = ml_collections.ConfigDict(
        {
            "name": "activation_gating",
            "data_dependent": True,
            "open_probability": 0.98,
            "always": (),
            "gate_noise": True,  # False: gates compare with one half in training too
            "gate_gradient_scale": 1.0,  # learning rate of the gates over that of the chain
            "target": 0.6,
            "activation_loss": "batch",
            "const_quad": False,
            "activation_weight": 1.0,
            "weight_decay": 1e-4,
            "distillation_weight": 0.0,
            "distillation_temperature": 4.0,
        }
    )

    config.anneal = ml_collections.ConfigDict({"a": 0.05, "k": 5, "start": 1.0})

    config.optimizer = ml_collections.ConfigDict(
        {
            "name": "sgd",  # or 'adam'
            "learning_rate": 0.1,
            "momentum": 0.9,
            "nesterov": True,
            "schedule": "steps",
            "warm_up": 0.1,
            "boundaries": (30, 60, 90),
            "decay": 0.1,
        }
    )

    # How a trained network is judged; none of this changes the training. static: zoo names of the plain networks whose
    # static line and cascade frontier are measured beside it; twin_images: held-out images that choose the static twin;
    # usage: share of units that the threshold tau is fitted to on the held-out images, 0 to leave it; macs: instead,
    # mean MACs per image that tau, the thresholds of exits, or both are fitted to on them, 0 to leave these; freeze:
    # the share of held-out images that may decide otherwise where a decision is made the same for all, 0 to leave
    # decisions to the gates; inference: whether to measure the other ways to run the network too (thresholds, samples,
    # ensembles), some minutes.
    config.evaluation = ml_collections.ConfigDict(
        {"static": (), "twin_images": 1000, "usage": 0.0, "macs": 0.0, "freeze": 0.0, "inference": True}
    )

    config.targets = ml_collections.ConfigDict()  # {figure: 'OP NUMBER'}, set before the work, for the record
    return config.lock()


def imagenet_images(size=224):
    """Returns the `data` section of ImageNet at so many pixels."""
    return ml_collections.ConfigDict({"name": "imagenet2012", "held_out": 10_000, "augment": True, "size": size})


def imagenet_resnet(name):
    """Returns the `network` section of 'resnet50' or 'resnet101' with keras.applications' weights, of version 1."""
    return ml_collections.ConfigDict(
        {"name": name, "version": "v1", "num_classes": 1000, "weights": RESNET_WEIGHTS.format(name)}
    )
