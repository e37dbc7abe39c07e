"""Channel groups of ResNet-32 on CIFAR-10 within an hour on 2 CPU cores: pruned, or chosen for each image.

    CONFIG=configs/channels_resnet32_cpu.py
    python train_main.py --config=$CONFIG:pruned --workdir=runs/channels/pruned --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:conditional --workdir=runs/channels/conditional --data_dir=$DATA_DIR

Pruned: gates that look at nothing, a batch activation loss on MACs (section 3.4) that makes them polarise; what they
leave is an ordinary smaller network, materialized.keras. Conditional: a gate before each unit, held near a rate of its
own, as otherwise the same groups are closed for all images.

Groups are 8, 16 and 16 filters in the three stages: 2, 2 and 4 groups a unit, of which the first always runs; smaller
ones cost more time than they save (docs/channels.md). Not run yet.
"""

import ml_collections

from configs import base

GRANULARITY = {"stage1": 8, "stage2": 16, "stage3": 16}

SETTINGS = ("pruned", "conditional")


def get_config(kind="pruned"):
    """Returns the config of 'pruned' or 'conditional'."""
    base.check_setting(kind, SETTINGS)
    config = base.get_config()
    with config.unlocked():
        config.network.granularity = ml_collections.ConfigDict(GRANULARITY)
        config.method.gates = "channels"
        config.evaluation.materialize = kind == "pruned"
    config.epochs = 16
    config.mixed_precision = True
    config.method.weight_decay = 5e-4
    config.method.distillation_weight = 1.0
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.04
    if kind == "pruned":
        config.method.data_dependent = False
        config.method.activation_loss = "macs"
        config.method.activation_weight = 10.0
        config.method.target = 0.59
        config.method.gate_gradient_scale = 10.0
        config.method.open_probability = 0.9
        config.anneal.a, config.anneal.k = 0.1, 1
    else:
        config.method.gate_noise = False
        config.method.activation_loss = "per_gate"
        config.method.activation_weight = 60.0
        config.method.target = 0.4
        config.anneal.a, config.anneal.k = 0.1, 1
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    config.targets = ml_collections.ConfigDict({"margin_static_line": ">= 0", "seconds": "<= 3600"})
    return config
