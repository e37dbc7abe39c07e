"""SGAD on ResNet-32 and CIFAR-10 within an hour on 2 CPU cores, from trained weights.

    CONFIG=configs/sgad_resnet32_cpu.py
    python train_main.py --config=$CONFIG:lf --workdir=runs/sgad/lf --data_dir=$DATA_DIR

The ablation asks every image for the same share of units, about as many as the guideline asks for on average:

    python train_main.py --config=$CONFIG:unguided --workdir=runs/sgad/unguided --data_dir=$DATA_DIR

The paper trains from scratch for 440 epochs, MF first and LF from there (configs/sgad_resnet32_cifar10.py does); what
makes minutes enough is not in it: the network starts from trained weights and is distilled from itself, guideline and
BMNet are trained for some epochs before it, and LF comes at once, with s_max 0.6 for 0.8. `:mf` has s_max 0.2.
What came of it: docs/results.md.
"""

import ml_collections

from configs import base, sgad

SETTINGS = ("lf", "unguided", "mf")


def get_config(setting="lf"):
    """Returns the config of one of the settings: 'lf', 'unguided', which is LF without a guideline, or 'mf'."""
    base.check_setting(setting, SETTINGS)
    config = sgad.get_config("mf" if setting == "mf" else "lf")
    config.mixed_precision = True
    config.network.weights = "zoo:resnet32_cifar10_45k"
    config.epochs = 4
    config.method.task_weight = config.method.distillation_weight = 0.5
    config.method.mask_weight = 2.0  # against distillation, which the paper does not have
    # BMNet is fitted already and all but stands still. One run each: 0.05 gave 91.53 % at 53.7 M and a standard
    # deviation of units of 0.61, this 91.72 % at 54.5 M and 0.70; no more than a hint.
    config.method.mask_gradient_scale = 1e-3
    config.method.open_probability = 0.5
    config.method.always = ("stage2_unit1", "stage3_unit1")  # whose loss a few epochs cannot mend
    config.method.guideline_epochs = 6
    config.method.weight_decay = 5e-4
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.03
    config.optimizer.nesterov = True
    config.noise.first, config.noise.last, config.noise.epochs = 0.0, 0.1, 4
    config.evaluation.twin_images, config.evaluation.inference = 500, False  # to save minutes
    targets = {"margin_static_line": ">= 0", "margin_static_twin": ">= 0.005", "units_std": ">= 1"}
    if setting != "mf":
        config.method.s_max = 0.6
        config.label = "LF, s_max 0.6"
    if setting == "unguided":
        config.label = "LF without a guideline"
        config.method.guided, config.method.constant_ratio = False, 0.25
    else:
        targets["rank_correlation"] = ">= 0.01"  # positive
    config.targets = ml_collections.ConfigDict({**targets, "seconds": "<= 3600"})
    return config
