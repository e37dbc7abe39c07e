"""Channel groups of ResNet-32 on CIFAR-10 within an hour on 2 CPU cores: pruned, or chosen for each image.

    CONFIG=configs/channels_resnet32_cpu.py
    python train_main.py --config=$CONFIG:pruned --workdir=runs/channels/pruned --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:finetuned --workdir=runs/channels/finetuned --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:conditional --workdir=runs/channels/conditional --data_dir=$DATA_DIR

Pruned: gates that look at nothing, set at first by what their groups are worth to the answers, and a batch activation
loss on MACs (section 3.4) that closes them from there. Finetuned: the chain goes on learning while these gates stay as
they are; what they leave is an ordinary smaller network, materialized.keras. Conditional: a gate before each unit, set
at first by what its groups are worth to the answer for each image, as far as it can see that, under the same loss.

Each unit has four groups, of 4, 8 and 16 filters in the three stages, of which the first always runs. For pruning small
groups cost nothing; in a .tflite of the conditional network only those of the last stage pay (docs/channels.md).

A trained network needs low rates: higher ones take it apart before anything is closed, and so few epochs do not mend
it. Distillation at weight 1 disturbs it as a rate several times as high does.
"""

import ml_collections

from configs import base

GRANULARITY = {"stage1": 4, "stage2": 8, "stage3": 16}

SETTINGS = ("pruned", "finetuned", "conditional")


def get_config(kind="pruned"):
    """Returns the config of 'pruned', of 'finetuned', which goes on from it, or of 'conditional'."""
    base.check_setting(kind, SETTINGS)
    config = base.get_config()
    with config.unlocked():
        config.network.granularity = ml_collections.ConfigDict(GRANULARITY)
        config.method.gates = "channels"
        config.method.rank_gates = kind != "finetuned"
        config.evaluation.materialize = kind == "finetuned"
    config.label = kind
    config.mixed_precision = True
    config.method.weight_decay = 5e-4
    config.method.distillation_weight = 0.3
    config.method.gate_noise = False
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.004
    config.anneal.k = 1
    config.method.activation_loss = "macs"
    if kind == "conditional":
        config.epochs = 9
        config.optimizer.learning_rate = 0.01
        config.method.gate_gradient_scale = 0.5
        config.method.activation_weight = 80.0
        config.method.target = 0.525
        config.anneal.a, config.anneal.start = 0.1, 0.8  # at the target in the fourth epoch
        config.evaluation.macs = 37.6e6  # tau takes the rest of the way
    else:
        config.epochs = 2
        config.method.data_dependent = False
        config.method.activation_weight = 40.0
        config.method.target = 0.56
        config.method.gate_gradient_scale = 75.0
        config.anneal.a, config.anneal.start = 0.24, 0.8  # at the target in the second epoch
    if kind == "finetuned":
        config.start_from = "runs/channels/pruned"
        config.epochs = 8
        config.optimizer.learning_rate = 0.012
        config.method.gate_gradient_scale = 0.0
        config.anneal.start = config.method.target
    config.evaluation.inference = False  # takes minutes more
    config.evaluation.twin_images = 250
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    bounds = {"conditional": {"macs_share": "<= 0.55", "margin_static_twin": ">= 0"}}.get(
        kind, {"macs_share": "<= 0.6"}
    )
    config.targets = ml_collections.ConfigDict({"margin_static_line": ">= 0", **bounds, "seconds": "<= 3600"})
    return config
