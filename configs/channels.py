"""Channel groups of ResNet-32 on CIFAR-10 within an hour on 2 CPU cores: pruned, or chosen for each image.

    CONFIG=configs/channels.py
    for SETTING in pruned pruned_finetuned conditional conditional_finetuned; do
      python train_main.py --config=$CONFIG:$SETTING --workdir=runs/channels/$SETTING --data_dir=$DATA_DIR
    done

A CPU's kernels compute 16 filters at a time: decisions are on groups of 16, and on whole units in the first stage,
which has no more filters than that. The first group of a unit always runs. docs/results.md has what came of these:

- pruned: gates that look at nothing, set at first by what their groups are worth to the answers, and a batch activation
  loss on MACs (section 3.4 of Herrmann et al.) that closes them from there. 2 epochs, some minutes.
- pruned_finetuned: goes on from there; no loss moves the gates, and stripped.keras is the ordinary smaller network that
  is left. 12 epochs, within an hour.
- conditional: a gate before each unit, set at first by what its groups are worth to the answer for each image, as far
  as it can see that, under the same loss, which moves the gates alone. 2 epochs, some minutes.
- conditional_finetuned: goes on from there; the gates learn slowly. 12 epochs, within an hour. The command again, with
  --config.evaluation.freeze=0.05, freezes decisions that are alike for 95 % of the held-out images, trains nothing, and
  leaves a fitted.keras without those gates, which runs faster.

A trained network needs low rates while gates close: higher ones take it apart before anything is closed, and two epochs
do not mend it. Distillation at weight 1 disturbs it as a rate several times as high does.
"""

import ml_collections

from configs import base

# Shares of MACs; trainings end a little above them.
TARGETS = {"pruned": 0.53, "pruned_finetuned": 0.53, "conditional": 0.525, "conditional_finetuned": 0.54}

SETTINGS = tuple(TARGETS)


def get_config(setting="pruned"):
    """Returns the config of a setting; a '..._finetuned' goes on from the other of its kind."""
    base.check_setting(setting, SETTINGS)
    kind, _, finetuned = setting.partition("_")
    conditional = kind == "conditional"
    config = base.get_config()
    with config.unlocked():
        config.network.granularity = ml_collections.ConfigDict({"stage2": 16, "stage3": 16})
        config.method.gates = "channels and units"
        config.method.gates_detached = conditional
        config.method.init_gates_by_importance = not finetuned
        config.evaluation.strip_gates = bool(finetuned) and not conditional
    config.label = setting.replace("_", ", ")
    config.mixed_precision = True
    config.method.weight_decay = 5e-4
    config.method.distillation_weight = 0.3
    config.method.data_dependent = conditional
    config.method.gate_noise = False
    config.method.gate_gradient_scale = 1.0 if conditional else 75.0
    config.method.activation_loss = "macs"
    config.method.activation_weight = 40.0
    config.method.target = TARGETS[setting]
    config.epochs = 2
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.004
    config.anneal.a, config.anneal.k, config.anneal.start = 0.3, 1, 0.8  # at the target in the second epoch
    if finetuned:
        config.start_from = f"runs/channels/{kind}"
        config.epochs = 12
        config.optimizer.learning_rate = 0.02 if conditional else 0.005
        config.method.gate_gradient_scale = 0.075 if conditional else 0.0
        config.anneal.start = config.method.target
        config.evaluation.macs = 37.6e6 if conditional else 0.0  # tau takes the rest of the way
    config.evaluation.inference = False  # takes minutes more
    config.evaluation.twin_images = 250 if finetuned else 50
    config.evaluation.static = tuple(f"resnet{depth}_cifar10_45k" for depth in (8, 14, 20, 32))
    bounds = {"macs_share": "<= 0.55", "margin_static_twin": ">= 0"} if conditional else {"macs_share": "<= 0.6"}
    config.targets = ml_collections.ConfigDict({"margin_static_line": ">= 0", **bounds, "seconds": "<= 3600"})
    return config
