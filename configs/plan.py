"""A plan of ResNet-32 on CIFAR-10, made before anything is trained, and held against what training then reached.

The plan reads no record; what it expects is then compared with the records of a cascade with distilled front networks,
of exits and of pruned channels, at their MACs.

python train_main.py --config=configs/plan.py --workdir=runs/plan --data_dir=$DATA_DIR

About a minute on 2 CPU cores. Cascade and pruned channels came out within 0.3 points, in the right order; exits were
expected 1.9 points too high (0.7 asked): those of the record were trained for 3 epochs only.
"""

import ml_collections

from configs import base

TRAINED = {
    "cascade": ("cascade, front and middle", "distil-cifar10"),
    "exits": ("exits", "exits-resnet32"),
    "pruned": ("pruned", "channels-resnet32-pruned"),
}


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.job = "plan"
        exits = ("stage2_unit2", "stage2_unit5", "stage3_unit2")
        config.plan = ml_collections.ConfigDict({"exits": exits, "trained": TRAINED})
        config.targets = ml_collections.ConfigDict(
            {"estimate_off_largest": "<= 0.007", "order_right": ">= 1", "minutes": "<= 5"}
        )
    return config
