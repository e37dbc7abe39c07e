"""BlockDrop, Wu et al.: a policy network chooses the units; a curriculum, then finetuning, which starts from its run.

    CONFIG=configs/blockdrop.py
    python train_main.py --config=$CONFIG:resnet32_cpu_curriculum --workdir=runs/blockdrop/curriculum \
        --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:resnet32_cpu_finetuning --workdir=runs/blockdrop/finetuning \
        --data_dir=$DATA_DIR

Settings, and the folders that --workdir must name, as finetuning starts from the first:

- resnet32_cpu_{curriculum,finetuning}: CIFAR-10 within an hour on 2 CPU cores; runs/blockdrop/{curriculum,finetuning}.
  The paper trains for thousands of epochs; what makes minutes enough is not in it: the policy starts as a trained
  ResNet-8, which sees the image at half its size and so costs a quarter; in the curriculum gamma is moved so that a
  given share of units runs; finetuning holds every unit near a share of the images, as otherwise the same units are
  closed for all, and distils from the ungated network. docs/results.md has what came of it.
- resnet32_cpu_baselines: FirstK, RandomK and DistributeK (table 1) with as many units as those two runs, which come
  first, on average, rounded up, on the weights as they were given and finetuned under the pattern; beside them what the
  paper lacks, the units that a greedy search on held-out images leaves on; runs/blockdrop/baselines. 25 minutes on 2
  CPU cores; running the command again goes on where it stopped. Finetuning has BlockDrop's loss, optimizer and
  batch-norm re-estimation, but fewer epochs, of 2 minutes each: --config.epochs=14 gives as many. Without finetuning
  batch norm stays as it was; --config.reestimate_pretrained=True re-estimates it for each pattern, which helps them.
- resnet32_cifar10_{curriculum,finetuning}: as in the paper; runs/bd32/{curriculum,finetuning}. 5,000 epochs forward and
  2,000 forward and backward, some 2 hours on a recent GPU. Not run yet. The paper has 91.3 % with 6.9 of 15 units for
  gamma 5 (tables 1 and 3); its other points come with --config.method.gamma=2 or 10, in both commands.
- resnet110_cifar10_{curriculum,finetuning}: runs/bd110/{curriculum,finetuning}. 8 hours on a recent GPU. Not run yet.
  The paper has 91.9, 93.0 and 93.6 % with 10.3, 13.8 and 16.9 of 54 units for gamma 2, 5 and 10 (table 3).
- resnet32_cifar100_{curriculum,finetuning}: runs/bd32_100/{curriculum,finetuning}. Some 2 hours on a recent GPU. Not
  run yet. The paper has 68.7 % with 13.1 of 15 units (table 1); its gamma for CIFAR-100 is not given.
- resnet110_cifar100_{curriculum,finetuning}: runs/bd110_100/{curriculum,finetuning}. Some 8 hours on a recent GPU. Not
  run yet. The paper has 73.7 % with 30.2 of 54 units (table 1).
- resnet101_imagenet_{curriculum,finetuning}: runs/bd101/{curriculum,finetuning}. 45 epochs of 1.2 million images
  forward and 10 forward and backward, many hours on GPUs. Never run, as data and weights (configs/base.py) do not come
  along; tested is that it builds, that it costs what the paper says, and a training step. Gamma 2, 5 and 10 gave 75.2,
  76.4 and 76.8 % with 18.8, 24.8 and 29.7 units.

Of ResNet-110 and CIFAR-100 the network starts from $WEIGHTS_DIR/resnet110_cifar10.npz and the like, which have seen all
50,000 training images, the held-out ones too: figures on those are too rosy.

Sources: section 4.1 and the supplement; the entropy bonus of 0.1, which only the curriculum has, and the balance of
finetuning, the policy's losses of 256 images summed beside a mean cross entropy, are those of the authors' code. Other
than there, the last 5,000 training images are held out and choose the epoch. The weights of keras.applications'
ResNet-101 are version 1, of 7.6 G MACs; the paper's is version 1.5: '--config.network.version=v1.5
--config.network.weights=' builds that, untrained. The paper's text has 33 units "in four segments [3, 4, 20, 3]", which
are 30; 33 units and its 1.56e10 FLOPs are [3, 4, 23, 3]. Its static baselines of table 4, ResNet-72, -75 and -84, have
14, 15 and 18 units in the third stage: models.resnet_imagenet((3, 4, 14, 3)).
"""

import functools

import ml_collections

from configs import base

CURRICULUM = "runs/blockdrop/curriculum"
UNITS = [f"stage{stage}_unit{unit}" for stage in (1, 2, 3) for unit in range(1, 6)]
USAGE = dict.fromkeys(UNITS, 0.56) | {"stage2_unit1": 1.0, "stage3_unit1": 1.0}  # those two change the size


def defaults():
    """Returns the config that all settings start from: the paper's curriculum, for one epoch."""
    config = base.get_config()
    with config.unlocked():
        config.method = ml_collections.ConfigDict(
            {
                "name": "blockdrop",
                "stage": "curriculum",  # or 'finetuning', which starts from a curriculum's run
                "policy": "resnet",  # 'recurrent', or 'sequential' for a decision before each unit
                "policy_trunk": "",  # zoo name of a trained ResNet-8 that the policy starts as
                "policy_pool": 0,  # pixels averaged along each side of what the policy sees; 0: as the paper
                "open_probability": 0.5,  # of an untrained policy
                "always": (),
                "alpha": 0.8,
                "gamma": 5.0,
                "usage": 0.0,  # share of units to run on average, or {unit: share}; 0 leaves it to gamma
                "hold": "gamma",  # how usage is held: 'gamma' or 'units'
                "hold_strength": 15.0,
                "policy_weight": 1.0,
                "entropy_weight": 0.1,
                "batch_norm": "batch",
                "weight_decay": 0.0,
                "distillation_weight": 0.0,
                "distillation_temperature": 4.0,
            }
        )
        config.anneal = ml_collections.ConfigDict({"a": 0.0, "k": 1, "start": 1.0})  # of usage; a = 0: at once
        config.curriculum = ml_collections.ConfigDict({"epochs": 1, "steps": 0})  # one of them, the other 0
    config.reestimate_images = 0  # batch norm is frozen in the curriculum
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.schedule = "constant"
    return config


def resnet32_cpu(stage):
    """Returns the config of a stage within an hour on 2 CPU cores."""
    config = defaults()
    config.mixed_precision = True
    config.method.stage = config.label = stage
    config.method.policy_trunk = "resnet8_cifar10_45k"
    config.method.policy_pool = 2
    config.method.open_probability = 0.95
    config.method.alpha = 0.95
    config.method.gamma = 2.0
    config.method.entropy_weight = 0.0
    config.optimizer.schedule = "one_cycle"
    config.evaluation.static = base.STATIC
    config.targets = ml_collections.ConfigDict({"margin_static_twin": ">= 0", "seconds": "<= 3600"})
    if stage == "curriculum":
        config.epochs = 3
        config.curriculum.epochs, config.curriculum.steps = 0, 20
        config.method.usage = 0.87
        config.optimizer.learning_rate = 1e-3
        return config
    config.epochs = 14
    config.start_from = CURRICULUM
    config.reestimate_images = 6000
    config.method.gamma = 5.0
    with config.ignore_type():
        config.method.usage = ml_collections.ConfigDict(USAGE)
    config.method.hold, config.method.hold_strength = "units", 60.0
    config.method.policy_weight = 0.5
    config.method.weight_decay = 1e-4
    config.method.distillation_weight = 1.0
    config.anneal.a, config.anneal.start = 0.07, 0.87
    config.optimizer.learning_rate = 1.2e-3
    config.evaluation.usage = 0.59  # clean images run fewer units than the augmented ones of the training
    config.targets.update({"accuracy": ">= 0.92", "units_mean": "<= 9", "units_std": ">= 1"})
    return config


def baselines(_):
    """Returns the config of fixed patterns with as many units as the two runs on CPU."""
    config = base.get_config()
    finetuning = resnet32_cpu("finetuning")
    config.job = "baselines"
    config.epochs = 2
    config.batch_size = finetuning.batch_size
    config.reestimate_images = finetuning.reestimate_images
    config.mixed_precision = finetuning.mixed_precision
    config.optimizer = finetuning.optimizer
    with config.unlocked():
        config.method = ml_collections.ConfigDict(
            {
                "name": "fixed",
                "pattern": "first_k",  # the job sets pattern, k and units
                "k": 0,
                "units": (),
                "weight_decay": finetuning.method.weight_decay,
                "distillation_weight": finetuning.method.distillation_weight,
                "distillation_temperature": finetuning.method.distillation_temperature,
            }
        )
        config.runs = ml_collections.ConfigDict(
            {
                "config": "configs/blockdrop.py:resnet32_cpu",  # _curriculum and _finetuning
                "curriculum": CURRICULUM,
                "finetuning": "runs/blockdrop/finetuning",
            }
        )
        config.reestimate_pretrained = False
        config.targets = ml_collections.ConfigDict({"margin_greedy": ">= 0"})
    return config


def cifar(stage, depth=32, classes=10):
    """Returns the config of a stage on CIFAR-10 or -100, as in the paper."""
    config = defaults()
    config.method.stage = config.label = stage
    if stage == "curriculum":
        config.epochs = 5000
        config.batch_size = 2048
    else:
        config.epochs = 2000
        config.batch_size = 256
        config.start_from = f"runs/bd{depth}{'_100' if classes == 100 else ''}/curriculum"
        config.method.policy_weight = 256.0
        config.method.entropy_weight = 0.0
        config.optimizer.schedule = "steps"
        config.optimizer.boundaries, config.optimizer.decay = (1600,), 0.1
        config.reestimate_images = 45_000
    config.evaluation.static = base.STATIC if classes == 10 else ()
    if (depth, classes) != (32, 10):
        config.network.depth, config.network.num_classes = depth, classes
        config.network.weights = f"$WEIGHTS_DIR/resnet{depth}_cifar{classes}.npz"
    if classes == 100:
        config.data.name = "cifar100"
    return config


def resnet101_imagenet(stage):
    """Returns the config of a stage on ImageNet."""
    config = cifar(stage)
    with config.unlocked():
        config.data, config.network = base.imagenet_images(), base.imagenet_resnet("resnet101")
    config.evaluation.static = ()
    if stage == "curriculum":
        config.epochs = 45
    else:
        config.start_from = "runs/bd101/curriculum"
        config.epochs, config.batch_size = 10, 320
        config.optimizer.schedule, config.optimizer.learning_rate = "constant", 1e-5
        config.method.policy_weight = 320.0
    return config


STAGES = ("curriculum", "finetuning")
SETTINGS = base.join_settings(
    {
        "resnet32_cpu": (resnet32_cpu, STAGES),
        "resnet32_cpu_baselines": (baselines, ("",)),
        "resnet32_cifar10": (cifar, STAGES),
        "resnet110_cifar10": (functools.partial(cifar, depth=110), STAGES),
        "resnet32_cifar100": (functools.partial(cifar, classes=100), STAGES),
        "resnet110_cifar100": (functools.partial(cifar, depth=110, classes=100), STAGES),
        "resnet101_imagenet": (resnet101_imagenet, STAGES),
    }
)


def get_config(setting="resnet32_cpu_curriculum"):
    """Returns the config of a setting."""
    base.check_setting(setting, SETTINGS)
    return SETTINGS[setting]()
