"""Gated units of ResNet-32 on CIFAR-10 by the batch activation loss, sized for an hour on 2 CPU cores.

    CONFIG=configs/activation_resnet32_cpu.py
    python train_main.py --config=$CONFIG:conditional --workdir=runs/activation/conditional --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:pruned --workdir=runs/activation/pruned --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:variable --workdir=runs/activation/variable --data_dir=$DATA_DIR

Conditional: gates that look at the unit's input. Pruned: gates that look at nothing. Variable: conditional, with a
target that follows the activation from 0.7 in each epoch (S1.2). All start from weights trained on x_train[:45000]; the
last 5,000 images choose the epoch. Not run yet; expect pruned networks, as nothing here forbids that gates polarise.
"""

from configs import base

SETTINGS = ("conditional", "pruned", "variable")


def get_config(kind="conditional"):
    """Returns the config of one kind."""
    base.check_setting(kind, SETTINGS)
    config = base.get_config()
    config.label = kind
    config.epochs = 12
    config.mixed_precision = True
    config.method.target = 0.7
    config.method.gate_noise = False
    config.method.open_probability = 0.9
    config.method.activation_weight = 20.0
    config.method.weight_decay = 5e-4
    config.method.distillation_weight = 1.0
    config.method.data_dependent = kind != "pruned"
    config.anneal.a, config.anneal.k = 0.075, 1
    if kind == "variable":
        with config.unlocked():
            config.method.variable_target = "exponential"
        config.anneal.start = 0.7
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.025
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    return config
