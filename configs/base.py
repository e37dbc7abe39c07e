"""Settings that every experiment starts from; an experiment changes what it needs."""

import ml_collections


def check_setting(setting, known):
    """Raises a ValueError if a config, written CONFIG.py:SETTING, has no such setting.

    Args:
        setting: what came.
        known: the config's settings.
    """
    if setting not in known:
        raise ValueError(
            f"the config has the settings {', '.join(known)}, got {setting!r}; write CONFIG.py:{known[0]}."
        )


def get_config():
    """Returns a locked config: gates at one target rate, no training budget of its own."""
    config = ml_collections.ConfigDict()
    config.job = "train"
    config.label = ""  # what a record calls this setting, behind the network's name
    config.seed = 0
    config.epochs = 1
    config.start_from = ""  # folder of another run, or a .keras file, whose weights this one starts with
    config.batch_size = 128
    config.reestimate_images = 6000  # augmented training images for batch norm afterwards; 0 keeps moving averages
    config.mixed_precision = False  # bfloat16 layers, float32 weights
    config.distribute = ""  # 'mirrored' for all GPUs of the machine

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
