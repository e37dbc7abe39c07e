"""Dual dynamic inference (DDI): units by one LSTM, groups of channels by small CNNs, exits under limits.

    CONFIG=configs/ddi.py
    python train_main.py --config=$CONFIG:resnet32_cpu_both --workdir=runs/ddi/both --data_dir=$DATA_DIR

Settings, and the folders that --workdir must name, as exits start from what skips:

- resnet32_cpu_{both,layers,channels}: CIFAR-10 on 2 CPU cores, from trained weights, judged at equal MACs: units and
  groups of 16 filters, units alone, groups of 8 and 16 filters alone; runs/ddi/{both,layers,channels}. Some 35 minutes
  each. At 41.4 M MACs channels alone reached 90.5 %, 0.6 points above their static twin, units alone 88.7 %, 0.6
  under theirs, and both 88.1 %, 1.0 above theirs: all are under the static line (92.4 %), and both grains do not beat
  one, as nine epochs are few, most of all for units, and the accuracy still rose.
- resnet32_cpu_gentle: as both, for twelve epochs at a fifth of the rate, eight times that for the gates, so that the
  trained network stays whole; runs/ddi/gentle. Some 25 minutes. It does not help: 87.3 % at 41.5 M MACs, 0.3 points
  above its static twin.
- resnet32_cpu_energy: as both, trained for energy by Horowitz' table in place of MACs; runs/ddi/energy. Compare
  energy_share (figure 9). Some 30 minutes. Not run yet.
- resnet32_cpu_exits: two exits more in each stage, trained on from runs/ddi/gentle; runs/ddi/exits. It is judged
  under limits: MACs that no image exceeds. Some 10 minutes. The whole keeps 87.4 %; under 26.4, 40.6, 54.7 and 69 M
  MACs 32.4, 57.7, 87.4 and 87.4 % are right, where plain networks have 91.0 to 93.5 %: three epochs make no early
  exits.
- resnet32_cpu_limits: no training; what resnet32_cpu_exits left, as files that take a budget with each image, held
  against the path of each of the 10,000 test images; runs/ddi/limits. Some 10 minutes. No image is over its budget or
  stops elsewhere than it may. On TensorFlow Lite Micro 34 of 2,000 int8 answers differ from the reference kernels'.
- resnet38_cifar10_{both,layers,channels}: the paper's network from weights, groups of 8, 16 and 32 filters;
  runs/ddi38/KIND. WEIGHTS_DIR holds resnet38_cifar10.npz. Some 10 minutes each on a recent GPU. Not run yet.
- resnet74_cifar10_{both,layers,channels}: likewise; runs/ddi74/KIND. WEIGHTS_DIR holds resnet74_cifar10.npz. Some 20
  minutes each on a recent GPU. Not run yet.
- resnet74_cifar10_exits: from runs/ddi74/both; runs/ddi74/exits. Some 15 minutes on a recent GPU. The paper has 91.00,
  92.82, 93.50 and 93.88 % at no more than 29.5, 42.5, 55 and 85 M MACs (table 2). Not run yet.
- densenet100_cifar10_{both,layers,channels}: a DenseNet, groups of 16 of the 48 filters between its two convolutions;
  runs/ddi100/KIND. WEIGHTS_DIR holds densenet100_cifar10.npz. Some hour each on a recent GPU. Not run yet.
- densenet121_imagenet_layers: units of keras.applications' DenseNet121; configs/base.py says what is needed.
  runs/ddi121. Some days on a recent GPU. The paper saves 25 % of the FLOPs at 0.3 points less. Never run, as neither
  data nor weights come along; what is tested is that it builds.

- published_costs: no training; FLOPs of the paper's plain networks, and what its gates cost, counted. Under a minute.
  Its residual networks have 59, 84, 110 and 170 M FLOPs, those here 52.8, 81.1, 109.4 and 166.0: what else it counts is
  not in the text. The LSTM's 0.04 % of a block holds if the additions of the pooling count.

Sources: gates alone first, then all (section 3.3). The paper's supplement, which has its hyperparameters, is not
public: rates and epochs are this project's, and so is the target, which holds the cost where a mere penalty closes the
same gates for all images. The paper decides single channels; groups are what a file can skip.
"""

import functools

import ml_collections

from configs import base

KINDS = ("both", "layers", "channels")
# MACs of plain networks, at which the paper's table 2 compares: of ResNet-14, -20, -26 and -32 here.
LIMITS = (26.4e6, 40.6e6, 54.7e6, 69e6)
PAPER_LIMITS = (29.5e6, 42.5e6, 55e6, 85e6)
BROKEN = ("over", "elsewhere", "micro_over", "micro_elsewhere", "micro_unequal")
DENSENETS = {46: 180e6, 58: 250e6, 64: 290e6, 82: 420e6}  # FLOPs by depth, table 2
RESNETS = {14: 59e6, 20: 84e6, 26: 110e6, 38: 170e6}
EXIT_FILTERS = (16, 16, 32, 32, 64, 64)  # classifiers that grow (figure 4)


def defaults(kind, granularity):
    """Returns the config of one kind of grains on the trained ResNet-32.

    Args:
        kind: one of KINDS.
        granularity: {stage: filters per group}.
    """
    config = base.get_config()
    with config.unlocked():
        config.method = ml_collections.ConfigDict(
            {
                "name": "ddi",
                "grains": kind,
                "alpha": 60.0,
                "target": 0.6,  # of the cost, gates included; 0 for the paper's penalty, alpha times the cost
                "balance": 4.0,  # weight of what keeps the rates of all decisions alike; 0, as in the paper, for none
                "energy": False,  # whether the cost is energy (lite.part_energy, in float32), MACs otherwise
                "open_probability": 0.9,
                "gate_noise": True,
                "gate_gradient_scale": 1.0,  # learning rate of the gates over that of the chain
                "gate_filters": 0,  # of the channel gates' convolution; 0 for as many as the input has channels
                "gate_bottleneck": 0,  # of a 1x1 convolution before it; 0 for none
                "gate_epochs": 2,  # of the gates alone, before the first epoch,
                "gate_learning_rate": 0.003,  # by Adam
                "weight_decay": 5e-4,
                "distillation_weight": 1.0,
                "distillation_temperature": 4.0,
            }
        )
        if kind != "layers":
            config.network.granularity = ml_collections.ConfigDict(granularity)
        config.evaluation.limits = ()
    config.label = {"both": "layers and channels", "layers": "layers alone", "channels": "channels alone"}[kind]
    config.evaluation.static = base.STATIC
    config.evaluation.inference = False
    return config


def resnet32_cpu(kind):
    """Returns the config for 2 CPU cores: a kind of grains, 'gentle', 'energy', or 'exits'."""
    # In the first stage, 16 filters are all; without groups there, channels alone could not come under 58 %.
    granularity = {"stage1": 8, "stage2": 8, "stage3": 16} if kind == "channels" else {"stage2": 16, "stage3": 16}
    config = defaults(kind if kind in KINDS else "both", granularity)
    config.method.gate_epochs, config.method.gate_filters = 0, 8
    config.method.open_probability = 0.98
    config.method.target = 0.55  # of what is sampled; what inference decides costs some 0.05 more
    config.epochs = 9
    config.mixed_precision = True
    config.anneal.a, config.anneal.k = 0.15, 1
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.02
    config.evaluation.twin_images = 500
    config.evaluation.macs = 41.4e6
    config.targets = ml_collections.ConfigDict({"margin_static_line": ">= 0", "margin_static_twin": ">= 0.005"})
    if kind == "gentle":
        config.label, config.epochs, config.anneal.a = "layers and channels, at a low rate", 12, 0.1
        config.optimizer.learning_rate, config.method.gate_gradient_scale = 0.004, 8.0
        config.method.distillation_weight, config.method.weight_decay = 0.3, 1e-4
    if kind == "energy":
        config.method.energy, config.label, config.evaluation.macs = True, "layers and channels, for energy", 0.0
        config.targets = ml_collections.ConfigDict({"energy_share": "<= 0.62"})
    if kind == "exits":
        config = _with_exits(config, 5, LIMITS, "runs/ddi/gentle")
        config.epochs, config.optimizer.learning_rate = 3, 0.003
        config.method.distillation_weight, config.method.weight_decay = 0.3, 1e-4
    return config


def resnet32_cpu_limits(_=""):
    """Returns the config that holds files with a budget against the paths of images."""
    config = base.get_config()
    with config.unlocked():
        config.job, config.model, config.limits = "budget_input", "runs/ddi/exits/model.keras", LIMITS
        config.budgets, config.micro_images = 10, 200
    names = (f"{name}_{precision}" for name in BROKEN for precision in ("float32", "int8"))
    config.targets = ml_collections.ConfigDict(dict.fromkeys(names, "<= 0"))
    return config


def _with_exits(config, units, limits, start_from):
    """Adds exits at 1/4 and 3/4 of each stage of so many units, judged under limits."""
    places = (max(1, round(units / 4)), round(3 * units / 4))
    with config.unlocked(), config.network.unlocked():
        config.network.exits = tuple(f"stage{stage}_unit{unit}" for stage in (1, 2, 3) for unit in places)
        config.network.exit_filters = EXIT_FILTERS
    config.label, config.start_from, config.evaluation.limits = "with exits", start_from, limits
    config.method.gate_epochs, config.evaluation.macs, config.epochs = 0, 0.0, 8
    config.anneal.start = config.method.target
    # What plain networks reach at these costs: ResNet-14, -20, between -20 and -32, and -32.
    static = (0.9099, 0.9240, 0.9295, 0.9349)
    config.targets = ml_collections.ConfigDict(
        {f"accuracy_limit{k}": f">= {share}" for k, share in enumerate(static, 1)}
    )
    return config


def resnet_cifar10(kind, depth=38):
    """Returns the config of the paper's ResNets: a kind of grains, or 'exits'."""
    config = defaults(kind if kind in KINDS else "both", {"stage1": 8, "stage2": 16, "stage3": 32})
    config.network.depth, config.network.weights = depth, f"$WEIGHTS_DIR/resnet{depth}_cifar10.npz"
    config.epochs, config.batch_size, config.method.gate_epochs = 100, 256, 10
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.05
    config.evaluation.static = ()  # trained on the held-out images too, as these weights are
    if kind == "exits":
        config = _with_exits(config, (depth - 2) // 6, PAPER_LIMITS, f"runs/ddi{depth}/both")
        config.epochs = 60
        paper = (0.9100, 0.9282, 0.9350, 0.9388)
        config.targets = ml_collections.ConfigDict(
            {f"accuracy_limit{k}": f">= {share}" for k, share in enumerate(paper, 1)}
        )
    return config


def densenet100_cifar10(kind):
    """Returns the config of a DenseNet: a kind of grains."""
    config = defaults(kind, {f"block{number}": 16 for number in (1, 2, 3)})
    weights = "$WEIGHTS_DIR/densenet100_cifar10.npz"
    network = {"name": "densenet_bc", "depth": 100, "growth": 12, "num_classes": 10, "weights": weights}
    with config.unlocked():
        config.network.update(network)
    config.method.gate_filters, config.method.gate_bottleneck = 8, 9  # some 11 % of the network, as in the paper
    config.epochs, config.batch_size, config.method.gate_epochs = 60, 128, 5
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.05
    config.evaluation.static = ()
    return config


def densenet121_imagenet(_="layers"):
    """Returns the config of DenseNet-121's units."""
    config = defaults("layers", {})
    weights = "$WEIGHTS_DIR/densenet121_weights_tf_dim_ordering_tf_kernels.h5"
    with config.unlocked():
        config.data = base.imagenet_images()
        config.network = ml_collections.ConfigDict({"name": "densenet121", "num_classes": 1000, "weights": weights})
    config.method.target = 0.75
    config.epochs, config.batch_size, config.method.gate_epochs = 30, 256, 1
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.01
    config.evaluation.static = ()
    return config


def published_costs(_=""):
    """Returns the config that counts what the paper's networks and gates cost."""
    config = base.get_config()
    common = {"num_classes": 10, "weights": ""}
    published = {f"resnet{n}": {"network": {"depth": n, **common}, "flops": flops} for n, flops in RESNETS.items()}
    dense = {"name": "densenet_bc", "growth": 12, **common}
    for depth, flops in DENSENETS.items():
        published[f"densenet{depth}"] = {"network": {"depth": depth, **dense}, "flops": flops}
    gate = {"network": {"depth": 100, **dense}, "granularity": 16, "filters": 8, "bottleneck": 9}
    targets = {f"off_densenet{depth}": "<= 0.02" for depth in DENSENETS}
    targets |= {"gate_recurrent": "<= 0.00045", "gate_channels": "<= 0.1255", "gate_dense": "<= 0.115"}
    with config.unlocked():
        config.job, config.published = "published_costs", ml_collections.ConfigDict(published)
        config.gate, config.targets = ml_collections.ConfigDict(gate), ml_collections.ConfigDict(targets)
    return config


SETTINGS = base.join_settings(
    {
        "resnet32_cpu": (resnet32_cpu, (*KINDS, "gentle", "energy", "exits")),
        "resnet32_cpu_limits": (resnet32_cpu_limits, ("",)),
        "resnet38_cifar10": (resnet_cifar10, KINDS),
        "resnet74_cifar10": (functools.partial(resnet_cifar10, depth=74), (*KINDS, "exits")),
        "densenet100_cifar10": (densenet100_cifar10, KINDS),
        "densenet121_imagenet": (densenet121_imagenet, ("layers",)),
        "published_costs": (published_costs, ("",)),
    }
)


def get_config(setting="resnet32_cpu_both"):
    """Returns the config of a setting."""
    base.check_setting(setting, SETTINGS)
    return SETTINGS[setting]()
