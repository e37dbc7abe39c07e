"""IMTA, Li et al.: networks with exits; phase I trains everything, phase II the classifiers, starting from phase I.

    CONFIG=configs/imta.py
    python train_main.py --config=$CONFIG:cifar100_7_I --workdir=runs/imta_c100/7_I --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:cifar100_7_II --workdir=runs/imta_c100/7_II --data_dir=$DATA_DIR

Settings, and the folders that --workdir must name, as phase II starts from the first:

- cifar100_cpu_{plain,ge,ge_isc_ofa}_{0,1,2}: the three techniques on a small MSDNet of four exits at 3.0, 5.6, 8.1 and
  10.1 M MACs, on 2 CPU cores, three seeds of each; runs/imta/plain_0 and so on. plain and ge (phase I, without and with
  gradient equilibrium) take some 6 minutes each; ge_isc_ofa (phase II, from the run ge of the same seed) 2 more. Runs
  of one seed have the same images held out, the same first weights and the same batches. The paper trains for 300 and
  180 epochs; here they are 6 and 3, on one cycle of the learning rate. docs/results.md has what came of it.
- cifar100_cpu_compared: compares them, whose runs must be there, in seconds; runs/imta/paired. The spread is the
  standard deviation, over the seeds, of the difference from the plain training of the same seed. Phase II adds three
  epochs of the classifiers to the six of phase I.
- resnet32_exits_cpu: ResNet-32 with three exits on its way, from the plain network, CIFAR-10, within half an hour on 2
  CPU cores; runs/exits/resnet32. Phase I: all exits at once, under gradient equilibrium, at a rate that does not take
  the trained network apart. This run's network is zoo:resnet32_cifar10_exits.
- cifar10_{6,8}_{I,II}: MSDNet with so many exits, depths 21 and 36, as in the paper; runs/imta_c10/6_I and so on. Some
  8 hours together on a recent GPU with 8 exits. Not run yet. The paper has curves alone (figure 2), without numbers.
- cifar100_{4,5,6,7,8}_{I,II}: likewise; runs/imta_c100/7_I and so on. Some 6 hours together on a recent GPU with 7
  exits. Not run yet. The paper's table 1 has, of 7 exits, 64.00, 68.41, 71.86, 73.50, 74.46, 75.39 and 75.96 % at 6.86,
  14.35, 27.29, 48.45, 76.43, 108.9 and 137.3 M MACs. The ablation of table 2 has 5 exits: cifar100_5_I with
  --config.method.gradient_equilibrium=False --workdir=runs/imta_c100/5_plain.
- imagenet_{4,6,7}_{I,II}: five exits, that many layers apart; runs/imta_imagenet/4_I and so on. 90 epochs of 1.2
  million images each; days on a recent GPU, 100 hours or more. Never run, as ImageNet does not come along
  (configs/base.py says what is needed); what is tested is that it builds. The paper's table 3 has 57.28, 66.22, 70.24,
  71.71 and 72.43 % at the five exits; exit i comes after layer t i + 3; 50,000 images are held out.

Sources: section 4; it gives neither alpha nor temperature, which are those of the authors' script for ImageNet.
"""

import ml_collections

from configs import base

PHASES = ("I", "II")
KINDS = ("plain", "ge", "ge_isc_ofa")
SEEDS = (0, 1, 2)

# Mean MACs of the network that is judged, by number of exits or layers between them; the curve has the others.
CIFAR10_BUDGETS = {6: 30e6, 8: 60e6}
CIFAR100_BUDGETS = {4: 20e6, 5: 25e6, 6: 30e6, 7: 45e6, 8: 60e6}
IMAGENET_BUDGETS = {4: 700e6, 6: 1200e6, 7: 1600e6}


def defaults(phase="I", start_from="", **network):
    """Returns the config of one phase on CIFAR-10.

    Args:
        phase: 'I', which trains everything, or 'II', which trains the classifiers on what a run of the former gave.
        start_from: that run's folder, for 'II'.
        **network: of the `network` section: an MSDNet's options that are not models.msdnet's defaults, num_classes,
            size.
    """
    base.check_setting(phase, PHASES)
    config = base.get_config()
    with config.unlocked():
        config.network = ml_collections.ConfigDict({"name": "msdnet", "num_classes": 10, "weights": "", **network})
        config.method = ml_collections.ConfigDict(
            {
                "name": "imta",
                "phase": phase,
                "gradient_equilibrium": True,
                "collaboration": "none",  # of exits with the one before: 'identity', or 'dense' with a hidden layer
                "hidden": 100,
                "alpha": 1.0,  # share of the cross entropy; the rest is distillation from the deepest exit
                "temperature": 1.0,
                "exit_weights": (),  # lambda of each exit, 1 if empty
                "confidence": "max_probability",  # by which images stop once thresholds are fitted
                "weight_decay": 1e-4,
                "distillation_weight": 0.0,
                "distillation_temperature": 4.0,
            }
        )
        del config.anneal
    config.batch_size = 64
    config.reestimate_images = 0  # nothing is skipped in training
    config.epochs, config.optimizer.boundaries, config.optimizer.decay = 300, (150, 225), 0.1
    config.evaluation.static = ()
    if phase == "II":
        config.start_from = start_from
        config.epochs, config.optimizer.boundaries = 180, (90, 135)
        # The paper gives neither share nor temperature; these are those of the authors' script for ImageNet.
        config.method.alpha, config.method.temperature = 0.1, 1.0
        config.method.collaboration = "dense"
    return config


def cifar10(setting):
    """Returns the config of exits_phase on CIFAR-10."""
    exits, phase = setting.split("_")
    config = defaults(phase, f"runs/imta_c10/{exits}_I", blocks=int(exits))
    config.label = f"phase {phase}"
    config.evaluation.macs = CIFAR10_BUDGETS[int(exits)]
    config.evaluation.static = base.STATIC
    return config


def cifar100(setting):
    """Returns the config of exits_phase on CIFAR-100."""
    exits, phase = setting.split("_")
    config = defaults(phase, f"runs/imta_c100/{exits}_I", blocks=int(exits), num_classes=100)
    config.data.name, config.label = "cifar100", f"phase {phase}"
    config.evaluation.macs = CIFAR100_BUDGETS[int(exits)]
    return config


def imagenet(setting):
    """Returns the config of step_phase on ImageNet, the step being the layers between exits."""
    step, phase = setting.split("_")
    layers = {"blocks": 5, "base": int(step) + 3, "step": int(step), "step_mode": "even"}
    config = defaults(phase, f"runs/imta_imagenet/{step}_I", **layers, num_classes=1000, size=224)
    with config.unlocked():
        config.data = base.imagenet_images()
    config.data.held_out = 50_000
    config.label = f"t = {step}, phase {phase}"
    config.batch_size = 256
    config.epochs, config.optimizer.boundaries = 90, (30, 60)
    config.evaluation.macs = IMAGENET_BUDGETS[int(step)]
    return config


def cifar100_cpu(setting):
    """Returns the config of kind_seed, one kind of training and one seed."""
    kind, _, seed = setting.rpartition("_")
    network = {"blocks": 4, "step_mode": "even", "channels": 8, "growth": 4, "num_classes": 100}
    config = defaults("II" if kind == "ge_isc_ofa" else "I", f"runs/imta/ge_{seed}", **network)
    config.seed, config.label = int(seed), f"{kind.replace('_', ', ')}, seed {seed}"
    config.data.name = "cifar100"
    config.mixed_precision = True
    config.batch_size = 128
    config.method.gradient_equilibrium = kind != "plain"
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.2
    config.epochs = 6
    if kind == "ge_isc_ofa":
        config.epochs, config.optimizer.learning_rate = 3, 0.1
        config.method.alpha = 0.5
    config.evaluation.macs = 6e6
    config.targets = ml_collections.ConfigDict({"seconds": "<= 900"})
    return config


def compare_seeds(_):
    """Returns the config that compares the techniques over the seeds."""
    config = base.get_config()
    with config.unlocked():
        config.job = "compare_seeds"
        runs = {kind: tuple(f"runs/imta/{kind}_{seed}" for seed in SEEDS) for kind in KINDS}
        config.runs = ml_collections.ConfigDict(runs)
        config.baseline = "plain"
        config.figure = "accuracy_exits_mean"
        config.title = "MSDNet with 4 exits (from scratch), mean over the exits, 3 seeds"
        config.text = "cifar100, 10,000 test images"
        bounds = {"deviations_ge_isc_ofa": ">= 1", "seconds_max": "<= 1200", "seconds_sum": "<= 7200"}
        config.targets = ml_collections.ConfigDict(bounds)
    return config


def resnet32_exits_cpu(_):
    """Returns the config of ResNet-32 with three exits."""
    after = ("stage2_unit2", "stage2_unit5", "stage3_unit2")
    config = defaults("I")
    with config.unlocked():
        config.network = ml_collections.ConfigDict({**base.get_config().network, "exits": after, "exit_filters": 64})
    config.label = "exits"
    config.mixed_precision = True
    config.batch_size = 128
    config.epochs = 3
    config.optimizer.schedule, config.optimizer.learning_rate = "one_cycle", 0.006
    config.method.weight_decay = 5e-4
    config.evaluation.macs = 48e6
    config.evaluation.static = base.STATIC
    config.targets = ml_collections.ConfigDict({"seconds": "<= 3600"})
    return config


def _pairs(firsts, seconds):
    return tuple(f"{first}_{second}" for first in firsts for second in seconds)


SETTINGS = base.join_settings(
    {
        "cifar100_cpu": (cifar100_cpu, _pairs(KINDS, SEEDS)),
        "cifar100_cpu_compared": (compare_seeds, ("",)),
        "resnet32_exits_cpu": (resnet32_exits_cpu, ("",)),
        "cifar10": (cifar10, _pairs(CIFAR10_BUDGETS, PHASES)),
        "cifar100": (cifar100, _pairs(CIFAR100_BUDGETS, PHASES)),
        "imagenet": (imagenet, _pairs(IMAGENET_BUDGETS, PHASES)),
    }
)


def get_config(setting="cifar100_cpu_plain_0"):
    """Returns the config of a setting."""
    base.check_setting(setting, SETTINGS)
    return SETTINGS[setting]()
