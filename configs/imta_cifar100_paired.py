"""The techniques of IMTA compared over the seeds of configs/imta_cifar100_cpu.py, whose runs must be there; seconds.

    python train_main.py --config=configs/imta_cifar100_paired.py --workdir=runs/imta/paired

The spread is the standard deviation, over the seeds, of the difference from the plain training of the same seed. Phase
II adds three epochs of the classifiers to the six of phase I.
"""

import ml_collections

from configs import base, imta_cifar100_cpu


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "compare_seeds"
        runs = {
            kind: tuple(f"runs/imta/{kind}_{seed}" for seed in imta_cifar100_cpu.SEEDS)
            for kind in imta_cifar100_cpu.KINDS
        }
        config.runs = ml_collections.ConfigDict(runs)
        config.baseline = "plain"
        config.figure = "accuracy_exits_mean"
        config.title = "MSDNet with 4 exits (from scratch), mean over the exits, 3 seeds"
        config.text = "cifar100, 10,000 test images"
        bounds = {"deviations_ge_isc_ofa": ">= 1", "seconds_max": "<= 1200", "seconds_sum": "<= 7200"}
        config.targets = ml_collections.ConfigDict(bounds)
    return config
