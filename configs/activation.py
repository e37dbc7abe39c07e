"""Batch activation gating, Herrmann et al.: gates on units or channel groups, for each image or for all (pruned).

    python train_main.py --config=configs/activation.py:SETTING --workdir=runs/activation/SETTING --data_dir=$DATA_DIR

On 2 CPU cores, from weights trained on x_train[:45000]; the last 5,000 images choose the epoch:

- resnet32_cpu_per_gate: per-gate targets keep gates from polarising, the ungated network teaches, the two stride-2
  units always run. 12 epochs, about an hour. Dynamic rather than pruned; docs/results.md has what came of it.
- resnet32_cpu_{conditional,pruned,variable}: the batch loss. Gates that look at the unit's input; that look at nothing;
  the former with a target that follows the activation from 0.7 in each epoch (S1.2). An hour each. Not run yet; expect
  pruned networks, as nothing here forbids that gates polarise.
- mobilenet_v2_cpu_{conditional,pruned}: channel groups of a MobileNetV2 of width 0.35, 11 M MACs, from random weights,
  on CIFAR-10 read as ImageNet is, from the TFDS folder cifar10/, in crops enlarged to 96 pixels. An hour each. Not run
  yet; 12 epochs show the way, not the result.

On CIFAR-10 from scratch, on a GPU. None has been run yet:

- resnet32_cifar10: target 0.6. 350 epochs, some 10 minutes on a recent GPU, days on 2 CPU cores. Not in the paper.
- resnet56_cifar10_{channels,units}: pruned, by channel groups or units, target 0.5. Some 20 minutes each. The paper has
  93.31 % at 0.50 of the FLOPs, 62.7 M MACs, and 93.86 % without gates (figure 5). Of channels, MACs are held at the
  target (section 3.4) and stripped.keras is the ordinary network that is left. The paper has no granularity for CIFAR;
  here a unit has four groups, of which one always runs.
- resnet110_cifar10_annealed: target 0.6, annealed as S1.1 says. Some 40 minutes. The paper has 94.36 % at 0.65 of the
  FLOPs (figure 5), and 93.39 % without gates.
- resnet110_cifar10_{dep,ind}_{pb,pg}: the sweep of S4.4, 40 minutes each. Gates that look at the input (dep) or at
  nothing (ind), the loss of a batch (pb) or of each gate (pg), at target 0.6 from the first epoch on; for another T,
  --config.method.target=T --config.anneal.start=T --config.label=dep_pb_T. Figure 23 has errors of 10.34 (T = 0.0),
  8.04 (0.3), 6.86 (0.6) and 6.35 (0.8) for dep_pb; 9.38, 7.4, 6.46 and 6.21 for ind_pb.
- resnet110_cifar10_{variable_quad,variable_const_quad}: targets that follow the activation, from 0.8 in each epoch; 40
  minutes each. The paper has 6.16 at activation 0.652, and 6.55 at 0.623; it does not say by which average, here it is
  the moving one.
- resnet110_cifar10_{anneal_0.8,anneal_0.6}: 1.0 down to 0.8 by 0.05, and 0.8 down to 0.6 by 0.1; 40 minutes each. The
  paper has 5.57 at 0.827, and 6.17 at 0.633, and no epochs between steps; here 5.

On ImageNet, from keras.applications' weights; configs/base.py says what is needed. Never run, as neither comes along;
what is tested is that they build:

- resnet50_imagenet_{conditional,pruned}: channel groups between the 3x3 and the last 1x1, target 0.5; for another T,
  --config.method.target=T --config.label=conditional_T. 100 epochs, pruned 130; a day or two on a recent GPU. The paper
  (figure 4) has 76.13 % at 4.03 G MACs without gates; conditional 76.3, 76.04 and 75.19 % at 2.21, 1.94 and 1.67 G for
  0.5, 0.4 and 0.3; pruned 76.2, 76.14 and 75.56 % at 2.51, 2.28 and 1.97 G. Its ResNet-50 is version 1.5; that of Keras
  is version 1, 3.86 G MACs, so shares compare and accuracies do not quite.
- resnet101_imagenet_conditional: units, target 0.5; for 0.6, --config.method.target=0.6 --config.label=conditional_0.6.
  100 epochs, 200 hours and more. The paper (figure 17, S4.3) has 77.37 % at 7.6 G MACs without gates, 77.57 % at 4.60 G
  for 0.5 and 77.78 % at 5.28 G for 0.6, with thresholds; its weights are PyTorch's.
- mobilenet_v2_imagenet_{conditional,pruned}_{224,96}_{1.0,0.75,0.5,0.35}: channel groups by pixels and width, target
  0.5; the paper's others are --config.method.target=0.3 and 0.1. 700 epochs, a week on a recent GPU at 224 pixels, 60
  hours at 96. Of width 1.0, figure 4 has at 96 pixels, 56 M MACs and 60.3 %: conditional 61.62, 60.81 and 59.54 % at
  40.05, 35.66 and 30.04 M; pruned 61.11, 59.81 and 59.18 % at 40.33, 34.31 and 30.1 M. At 224, 300 M and 71.8 %:
  conditional 70.56, 70.16 and 69.08 % at 196.85, 162.07 and 147.34 M; pruned 70.02, 69.41 and 68.62 % at 209.02, 181.01
  and 160.21 M.

Sources: section 4.1 takes AIG's schedule and gives batch size, momentum, weight decay (1e-4, on gates 20 / gates times
that) and inference at tau 0.5; S4.4 says that CIFAR-10 is trained from scratch; S1.1 gives the annealing. AIG's own
CIFAR-10 script has the rest: 350 epochs, 0.1 divided by 10 after 150 and 250, plain momentum, crops and flips. Batch
norm is re-estimated on one pass over the training images, 176 batches, for the paper's 200. The paper reports the best
epoch on the test set, with sampled gates; here held-out images choose it, and gates compare with 0.5. MobileNetV2:
learning rate 0.5, times 0.99 after each epoch (section 4.1); half the epochs at 0.98 gave the same accuracy at a few
MACs more (figure 15); granularity of section 4.2, here of the expansions of units with a shortcut.
"""

import itertools

import ml_collections

from configs import base

SWEPT = {  # of S4.4: whether gates look at the input, the loss
    "dep_pb": (True, "batch"),
    "dep_pg": (True, "per_gate"),
    "ind_pb": (False, "batch"),
    "ind_pg": (False, "per_gate"),
}
VARIABLE = {"variable_quad": False, "variable_const_quad": True}  # const_quad
ANNEALED = {"anneal_0.8": (1.0, 0.05), "anneal_0.6": (0.8, 0.1)}  # from where, by how much

# Filters per group in each stage.
CIFAR_GRANULARITY = {"stage1": 4, "stage2": 8, "stage3": 16}

# The paper gives 16, 32, 64 and 128 for expansions, half that for contractions, which are the channels that are grouped
# here.
RESNET_GRANULARITY = {"stage1": 8, "stage2": 16, "stage3": 32, "stage4": 64}

# By width. That of width 1 is the paper's table in section 4.2 (g_exp); the others keep the number of groups as nearly
# as their channels can be divided. The first stage has no expansion.
MOBILENET_GRANULARITY = {
    1.0: {"stage2": 24, "stage3": 24, "stage4": 32, "stage5": 48, "stage6": 64},
    0.75: {"stage2": 24, "stage3": 24, "stage4": 24, "stage5": 36, "stage6": 48},
    0.5: {"stage2": 12, "stage3": 12, "stage4": 16, "stage5": 24, "stage6": 32},
    0.35: {"stage2": 8, "stage3": 8, "stage4": 12, "stage5": 16, "stage6": 24},
}
MOBILENET_WEIGHTS = "$WEIGHTS_DIR/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_{}.h5"


def mobilenet(width, size):
    """Returns the `network` section of a MobileNetV2 with keras.applications' weights for its width and size."""
    weights = MOBILENET_WEIGHTS.format(width, size)
    return ml_collections.ConfigDict(
        {"name": "mobilenet_v2", "width": width, "size": size, "num_classes": 1000, "weights": weights}
    )


def train_as_resnet(config):
    """Sets the training of ImageNet's ResNets in section 4.1: 100 epochs at 0.1, a tenth of that after every 30."""
    config.epochs, config.batch_size = 100, 256
    config.reestimate_images = 12_800  # 50 batches, held in memory; the paper takes 200
    config.optimizer.learning_rate, config.optimizer.nesterov = 0.1, False
    config.optimizer.boundaries, config.optimizer.decay = (30, 60, 90), 0.1


def group_channels(config, granularity, kind):
    """Gates groups of channels and holds their MACs at a target (section 3.4).

    Args:
        config: of base.get_config.
        granularity: {stage: filters per group}.
        kind: 'conditional', or 'pruned', whose gates look at nothing and leave an ordinary network.
    """
    with config.unlocked():
        config.network.granularity = ml_collections.ConfigDict(granularity)
        config.method.gates = "channels"
        config.evaluation.strip_gates = kind == "pruned"
    config.method.data_dependent = kind == "conditional"
    config.method.activation_loss = "macs"
    config.evaluation.static = ()


def resnet32_cpu(kind):
    """Returns the config of one kind of gates on the trained ResNet-32."""
    config = base.get_config()
    config.epochs = 12
    config.mixed_precision = True
    config.method.target = 0.7
    config.method.weight_decay = 5e-4
    config.method.distillation_weight = 1.0
    config.anneal.a, config.anneal.k = 0.075, 1
    config.optimizer.schedule = "one_cycle"
    config.optimizer.learning_rate = 0.025
    config.evaluation.static = base.STATIC
    if kind == "per_gate":
        config.method.always = ("stage2_unit1", "stage3_unit1")
        config.method.activation_loss = "per_gate"
        config.method.activation_weight = 52.0  # 4 per gate
        config.targets = ml_collections.ConfigDict({"margin_static_line": ">= 0", "margin_static_twin": ">= 0.005"})
        return config
    config.label = kind
    config.method.gate_noise = False
    config.method.open_probability = 0.9
    config.method.activation_weight = 20.0
    config.method.data_dependent = kind != "pruned"
    if kind == "variable":
        with config.unlocked():
            config.method.variable_target = "exponential"
        config.anneal.start = 0.7
    return config


def mobilenet_v2_cpu(kind):
    """Returns the config of a small MobileNetV2 on CIFAR-10 at 96 pixels, 'conditional' or 'pruned'."""
    width, size = 0.35, 96
    config = base.get_config()
    with config.unlocked():
        config.data = ml_collections.ConfigDict({"name": "cifar10", "held_out": 2000, "augment": True, "size": size})
        config.network = mobilenet(width, size)
    config.network.num_classes, config.network.weights = 10, ""
    group_channels(config, MOBILENET_GRANULARITY[width], kind)
    config.label, config.method.target, config.method.activation_weight = kind, 0.6, 10.0
    config.epochs, config.batch_size, config.reestimate_images = 12, 64, 2560
    config.mixed_precision = True
    config.anneal.a, config.anneal.k = 0.1, 1
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.1
    return config


def cifar10(_="", depth=32):
    """Returns the config of gated units on CIFAR-10, from scratch."""
    config = base.get_config()
    config.epochs = 350
    config.batch_size = 256
    config.reestimate_images = 45_000
    config.network.depth, config.network.weights = depth, ""
    config.optimizer.nesterov = False
    config.optimizer.boundaries = (150, 250)
    config.evaluation.static = base.STATIC
    return config


def resnet56_cifar10(kind):
    """Returns the config of a pruned ResNet-56, by 'channels' or 'units'."""
    config = cifar10(depth=56)
    if kind == "channels":
        group_channels(config, CIFAR_GRANULARITY, "pruned")
        config.evaluation.static = base.STATIC
    config.label, config.method.data_dependent, config.method.target = kind, False, 0.5
    config.targets = ml_collections.ConfigDict({"accuracy": ">= 0.9331", "macs_mean": "<= 63000000"})
    return config


def resnet110_cifar10(kind):
    """Returns the config of one point of S4.4's sweep, or of 'annealed'."""
    config = cifar10(depth=110)
    if kind == "annealed":
        return config
    config.label = kind
    if kind in VARIABLE:
        with config.unlocked():
            config.method.variable_target = "moving"
        config.method.const_quad = VARIABLE[kind]
        config.method.target = config.anneal.start = 0.8
    elif kind in ANNEALED:
        config.anneal.start, config.anneal.a = ANNEALED[kind]
        config.method.target = float(kind.removeprefix("anneal_"))
    else:
        config.label = f"{kind}_0.6"
        config.method.data_dependent, config.method.activation_loss = SWEPT[kind]
        config.method.target = config.anneal.start = 0.6
    return config


def resnet50_imagenet(kind):
    """Returns the config of ResNet-50's channel groups, 'conditional' or 'pruned'."""
    config = base.get_config()
    with config.unlocked():
        config.data, config.network = base.imagenet_images(), base.imagenet_resnet("resnet50")
    train_as_resnet(config)
    group_channels(config, RESNET_GRANULARITY, kind)
    config.label, config.method.target = f"{kind}_0.5", 0.5
    if kind == "pruned":
        config.epochs = 130  # the paper's pruned networks had 30 epochs more
    return config


def resnet101_imagenet(kind):
    """Returns the config of ResNet-101's gated units."""
    config = base.get_config()
    with config.unlocked():
        config.data, config.network = base.imagenet_images(), base.imagenet_resnet("resnet101")
    train_as_resnet(config)
    config.label, config.method.target = f"{kind}_0.5", 0.5
    config.evaluation.static = ()
    return config


def mobilenet_v2_imagenet(setting):
    """Returns the config of MobileNetV2 at a kind, number of pixels and width, joined by underscores."""
    kind, size, width = setting.split("_")
    config = base.get_config()
    with config.unlocked():
        config.data = base.imagenet_images(int(size))
        config.network = mobilenet(float(width), int(size))
    group_channels(config, MOBILENET_GRANULARITY[float(width)], kind)
    config.label, config.method.target = setting, 0.5
    config.epochs, config.batch_size, config.reestimate_images = 700, 256, 12_800
    config.optimizer.learning_rate, config.optimizer.nesterov = 0.5, False
    config.optimizer.boundaries, config.optimizer.decay = tuple(range(1, config.epochs)), 0.99
    return config


KINDS = ("conditional", "pruned")
SETTINGS = base.join_settings(
    {
        "resnet32_cpu": (resnet32_cpu, ("per_gate", *KINDS, "variable")),
        "mobilenet_v2_cpu": (mobilenet_v2_cpu, KINDS),
        "resnet32_cifar10": (cifar10, ("",)),
        "resnet56_cifar10": (resnet56_cifar10, ("channels", "units")),
        "resnet110_cifar10": (resnet110_cifar10, ("annealed", *SWEPT, *VARIABLE, *ANNEALED)),
        "resnet50_imagenet": (resnet50_imagenet, KINDS),
        "resnet101_imagenet": (resnet101_imagenet, ("conditional",)),
        "mobilenet_v2_imagenet": (
            mobilenet_v2_imagenet,
            tuple(map("_".join, itertools.product(KINDS, ("224", "96"), map(str, MOBILENET_GRANULARITY)))),
        ),
    }
)


def get_config(setting="resnet32_cpu_per_gate"):
    """Returns the config of a setting."""
    base.check_setting(setting, SETTINGS)
    return SETTINGS[setting]()
