"""SGAD's settings, on which its experiments stand: section 4 of the paper. Not an experiment of its own."""

import ml_collections

from configs import base

S_MAX = {"mf": 0.2, "lf": 0.8}  # more FLOPs, less FLOPs: the paper's two settings


def get_config(setting="mf", start_from=""):
    """Returns the config of one of the two settings.

    Args:
        setting: 'mf', or 'lf', which starts from a run of the former.
        start_from: that run's folder, for 'lf'.
    """
    base.check_setting(setting, tuple(S_MAX))
    config = base.get_config()
    with config.unlocked():
        config.method = ml_collections.ConfigDict(
            {
                "name": "sgad",
                "s_max": S_MAX[setting],
                "guided": True,
                "constant_ratio": 0.5,  # asked of every image if not guided
                "always": (),  # units that BMNet does not decide, besides the last
                "open_probability": 0.75,
                "estimator": "sinc",
                "guideline_epochs": 0,  # of guideline and BMNet alone, before the first epoch of the network,
                "guideline_noise": 0.5,  # and the noise meanwhile
                "mask_gradient_scale": 1.0,  # learning rate of BMNet over that of the chain
                "task_weight": 1.0,
                "mask_weight": 1.0,
                "guideline_weight": 0.3,
                "weight_decay": 1e-4,
                "distillation_weight": 0.0,
                "distillation_temperature": 4.0,
            }
        )
        # Standard deviation before the sigmoid, from first to last in so many epochs; the paper gives no figures.
        config.noise = ml_collections.ConfigDict({"first": 0.0, "last": 2.0, "epochs": 100})
        del config.anneal
    config.label = f"{setting.upper()}, s_max {S_MAX[setting]}"
    config.epochs = 220
    config.start_from = start_from if setting == "lf" else ""
    config.network.weights = ""
    config.optimizer.learning_rate = 0.1
    config.optimizer.nesterov = False
    config.optimizer.boundaries, config.optimizer.decay = (128, 160, 192), 0.1
    if setting == "lf":
        config.optimizer.learning_rate = 0.01
        config.noise.first, config.noise.epochs = 2.0, 1
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    return config
