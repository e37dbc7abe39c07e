"""Gated ResNet-32 on CIFAR-10, dynamic rather than pruned; 12 epochs, about an hour on 2 CPU cores.

    python train_main.py --config=configs/gating_resnet32_cifar10.py --workdir=runs/gating_resnet32 --data_dir=$DATA_DIR

Per-gate targets forbid polarising, the ungated network teaches; the two stride-2 units always run. It starts from
weights trained on x_train[:45000]; the last 5,000 images choose the epoch. docs/results.md says what came of it.
"""

import ml_collections

from configs import base


def get_config():
    """Returns the config."""
    config = base.get_config()
    config.epochs = 12
    config.mixed_precision = True
    config.method.always = ("stage2_unit1", "stage3_unit1")
    config.method.target = 0.7
    config.method.activation_loss = "per_gate"
    config.method.activation_weight = 52.0  # 4 per gate
    config.method.weight_decay = 5e-4
    config.method.distillation_weight = 1.0
    config.anneal.a, config.anneal.k = 0.075, 1
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.025
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    config.targets = ml_collections.ConfigDict({"margin_static_line": ">= 0", "margin_static_twin": ">= 0.005"})
    return config
