"""BlockDrop on ResNet-32 and CIFAR-10, as in the paper: a curriculum, then finetuning.

    CONFIG=configs/blockdrop_resnet32_cifar10.py
    python train_main.py --config=$CONFIG:curriculum --workdir=runs/bd32/curriculum --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:finetuning --workdir=runs/bd32/finetuning --data_dir=$DATA_DIR

Cost: 5,000 epochs forward and 2,000 forward and backward, some 2 hours on a recent GPU; weeks on 2 CPU cores. Not run
yet. The paper has 91.3 % with 6.9 of 15 units for gamma 5 (tables 1 and 3); its other points come with
--config.method.gamma=2 or 10, in both commands.

Settings of section 4.1 and the supplement; the entropy bonus of 0.1, which only the curriculum has, and the balance of
finetuning, the policy's losses of 256 images summed beside a mean cross entropy, are those of the authors' code. Other
than there, the last 5,000 training images are held out and choose the epoch.
"""

from configs import base, blockdrop

SETTINGS = ("curriculum", "finetuning")


def get_config(stage="curriculum"):
    """Returns the config of one of the two stages."""
    base.check_setting(stage, SETTINGS)
    config = blockdrop.get_config()
    config.method.stage = config.label = stage
    if stage == "curriculum":
        config.epochs = 5000
        config.batch_size = 2048
    else:
        config.epochs = 2000
        config.batch_size = 256
        config.start_from = "runs/bd32/curriculum"
        config.method.policy_weight = 256.0
        config.method.entropy_weight = 0.0
        config.optimizer.schedule = "steps"
        config.optimizer.boundaries, config.optimizer.decay = (1600,), 0.1
        config.reestimate_images = 45_000
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    return config
