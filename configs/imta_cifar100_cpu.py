"""The three techniques of IMTA on a small MSDNet and CIFAR-100, on 2 CPU cores: three seeds of each, paired.

    CONFIG=configs/imta_cifar100_cpu.py
    python train_main.py --config=$CONFIG:plain_0 --workdir=runs/imta/plain_0 --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:ge_0 --workdir=runs/imta/ge_0 --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:ge_isc_ofa_0 --workdir=runs/imta/ge_isc_ofa_0 --data_dir=$DATA_DIR

Four exits at 3.0, 5.6, 8.1 and 10.1 M MACs. plain and ge (phase I, without and with gradient equilibrium) take some 6
minutes each; ge_isc_ofa (phase II, from the run ge of the same seed) takes 2 more. Runs of one seed have the same
images held out, the same first weights and the same batches.

The paper trains for 300 and 180 epochs; here they are 6 and 3, on one cycle of the learning rate.
"""

import itertools

import ml_collections

from configs import base, imta

KINDS = ("plain", "ge", "ge_isc_ofa")
SEEDS = (0, 1, 2)
NETWORK = {"blocks": 4, "step_mode": "even", "channels": 8, "growth": 4, "num_classes": 100}

SETTINGS = tuple(f"{kind}_{seed}" for kind, seed in itertools.product(KINDS, SEEDS))


def get_config(setting="plain_0"):
    """Returns the config of one kind of training and one seed."""
    base.check_setting(setting, SETTINGS)
    kind, _, seed = setting.rpartition("_")
    config = imta.get_config("II" if kind == "ge_isc_ofa" else "I", f"runs/imta/ge_{seed}", **NETWORK)
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
