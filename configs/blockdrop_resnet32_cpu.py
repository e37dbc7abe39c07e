"""BlockDrop on ResNet-32 and CIFAR-10 within an hour on 2 CPU cores: a curriculum, then finetuning.

    CONFIG=configs/blockdrop_resnet32_cpu.py
    python train_main.py --config=$CONFIG:curriculum --workdir=runs/blockdrop/curriculum --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:finetuning --workdir=runs/blockdrop/finetuning --data_dir=$DATA_DIR

The paper trains for thousands of epochs; what makes minutes enough is not in it: the policy starts as a trained
ResNet-8, which sees the image at half its size and so costs a quarter; in the curriculum gamma is moved so that a given
share of units runs; finetuning holds every unit near a share of the images, as otherwise the same units are closed for
all, and distils from the ungated network. docs/results.md says what came of it.
"""

import ml_collections

from configs import base, blockdrop

CURRICULUM = "runs/blockdrop/curriculum"
UNITS = [f"stage{stage}_unit{unit}" for stage in (1, 2, 3) for unit in range(1, 6)]
USAGE = dict.fromkeys(UNITS, 0.56) | {"stage2_unit1": 1.0, "stage3_unit1": 1.0}  # those two change the size

SETTINGS = ("curriculum", "finetuning")


def get_config(stage="curriculum"):
    """Returns the config of one of the two stages."""
    base.check_setting(stage, SETTINGS)
    config = blockdrop.get_config()
    config.mixed_precision = True
    config.method.stage = config.label = stage
    config.method.policy_trunk = "resnet8_cifar10_45k"
    config.method.policy_pool = 2
    config.method.open_probability = 0.95
    config.method.alpha = 0.95
    config.method.gamma = 2.0
    config.method.entropy_weight = 0.0
    config.optimizer.schedule = "one_cycle"
    if stage == "curriculum":
        config.epochs = 3
        config.curriculum.epochs, config.curriculum.steps = 0, 20
        config.method.usage = 0.87
        config.optimizer.learning_rate = 1e-3
    else:
        config.epochs = 14
        config.start_from = CURRICULUM
        config.reestimate_images = 6000
        config.method.gamma = 5.0
        with config.ignore_type():
            config.method.usage = ml_collections.ConfigDict(USAGE)
        config.method.hold, config.method.hold_strength = "units", 60.0
        config.method.policy_weight = 0.5
        config.method.weight_decay = 1e-4
        config.method.distillation_weight = 1.0
        config.anneal.a, config.anneal.start = 0.07, 0.87
        config.optimizer.learning_rate = 1.2e-3
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    config.targets = ml_collections.ConfigDict({"margin_static_twin": ">= 0", "seconds": "<= 3600"})
    if stage == "finetuning":
        config.evaluation.usage = 0.59  # clean images run fewer units than the augmented ones of the training
        config.targets.update({"accuracy": ">= 0.92", "units_mean": "<= 9", "units_std": ">= 1"})
    return config
