"""Channel groups of ResNet-32 on CIFAR-10 in about an hour on 2 CPU cores: pruned, or chosen for each image.

    CONFIG=configs/channels_resnet32_cpu.py
    for KIND in pruned aligned conditional conditional-aligned; do
      for SETTING in $KIND ${KIND}_finetuned; do
        python train_main.py --config=$CONFIG:$SETTING --workdir=runs/channels/$SETTING --data_dir=$DATA_DIR
      done
    done

pruned: gates that look at nothing, set at first by what their groups are worth to the answers, and a batch activation
loss on MACs (section 3.4) that closes them from there. Each unit has four groups, of 4, 8 and 16 filters in the three
stages, of which the first always runs. After the finetuning, in which no loss moves the gates, materialized.keras is
the ordinary smaller network that is left.

aligned: the same for a CPU whose kernels compute 16 filters at a time: whole units of the first stage, which has no
more filters than that, and groups of 16 in the others.

conditional: a gate before each unit, set at first by what its groups are worth to the answer for each image, as far as
it can see that, under the same loss, which moves the gates alone. In the finetuning they learn slowly. In a .tflite
only groups of 16 filters pay (docs/channels.md), which conditional-aligned has.

A trained network needs low rates: higher ones take it apart before anything is closed, and so few epochs do not mend
it. Distillation at weight 1 disturbs it as a rate several times as high does.
"""

import ml_collections

from configs import base

GRANULARITY = {"stage1": 4, "stage2": 8, "stage3": 16}
ALIGNED = {"stage2": 16, "stage3": 16}
# Shares of MACs; trainings end a little above them.
TARGETS = {"pruned": 0.56, "aligned": 0.53, "conditional": 0.525, "conditional-aligned": 0.525}

SETTINGS = tuple(name for kind in TARGETS for name in (kind, f"{kind}_finetuned"))


def get_config(setting="pruned"):
    """Returns the config of a kind, or of the '..._finetuned' that goes on from it."""
    base.check_setting(setting, SETTINGS)
    kind, _, finetuned = setting.partition("_")
    conditional, aligned = kind.startswith("conditional"), kind.endswith("aligned")
    config = base.get_config()
    with config.unlocked():
        config.network.granularity = ml_collections.ConfigDict(ALIGNED if aligned else GRANULARITY)
        config.method.gates = "channels and units" if aligned else "channels"
        config.method.gates_detached = conditional
        config.method.rank_gates = not finetuned
        config.evaluation.materialize = bool(finetuned) and not conditional
    config.label = setting.replace("-", ", ").replace("_", ", ")
    config.mixed_precision = True
    config.method.weight_decay = 5e-4
    config.method.distillation_weight = 0.3
    config.method.data_dependent = conditional
    config.method.gate_noise = False
    config.method.gate_gradient_scale = 1.0 if conditional else 75.0
    config.method.activation_loss = "macs"
    config.method.activation_weight = 40.0
    config.method.target = TARGETS[kind]
    config.epochs = 2
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.004
    config.anneal.a, config.anneal.k, config.anneal.start = 0.3, 1, 0.8  # at the target in the second epoch
    if finetuned:
        config.start_from = f"runs/channels/{kind}"
        config.epochs = 12 if aligned else 8
        config.optimizer.learning_rate = 0.005
        config.method.gate_gradient_scale = 0.3 if conditional else 0.0
        config.anneal.start = config.method.target
        config.evaluation.macs = 37.6e6 if conditional else 0.0  # tau takes the rest of the way
    config.evaluation.inference = False  # takes minutes more
    config.evaluation.twin_images = 250 if finetuned else 50
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    bounds = {"macs_share": "<= 0.55", "margin_static_twin": ">= 0"} if conditional else {"macs_share": "<= 0.6"}
    config.targets = ml_collections.ConfigDict({"margin_static_line": ">= 0", **bounds, "seconds": "<= 3600"})
    return config
