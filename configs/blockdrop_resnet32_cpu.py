"""BlockDrop on ResNet-32 and CIFAR-10 within an hour on 2 CPU cores: a curriculum, then finetuning.

    CONFIG=configs/blockdrop_resnet32_cpu.py
    python train_main.py --config=$CONFIG:curriculum --workdir=runs/blockdrop/curriculum --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:finetuning --workdir=runs/blockdrop/finetuning --data_dir=$DATA_DIR

The paper trains for thousands of epochs; what makes minutes enough is not in it: the policy starts as a trained
ResNet-8, gamma is moved so that a given share of units runs, policy and network have learning rates of their own
(policy_weight), and finetuning distils from the ungated network. docs/results.md says what came of it.
"""

import ml_collections

from configs import blockdrop

CURRICULUM = "runs/blockdrop/curriculum"


def get_config(stage="curriculum"):
    """Returns the config of one of the two stages."""
    config = blockdrop.get_config()
    config.mixed_precision = True
    config.method.stage = stage
    config.method.policy_trunk = "resnet8_cifar10_45k"
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
        config.method.usage = 0.58
        config.method.policy_weight = 10.0
        config.method.weight_decay = 5e-4
        config.method.distillation_weight = 1.0
        config.anneal.a, config.anneal.start = 0.1, 0.95
        config.optimizer.name = "sgd"
        config.optimizer.learning_rate = 0.02
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    config.targets = ml_collections.ConfigDict(
        {"margin_static_twin": ">= 0"} | ({} if stage == "curriculum" else {"accuracy": ">= 0.92"})
    )
    return config
