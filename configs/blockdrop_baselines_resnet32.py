"""What BlockDrop's choice of units is worth: the paper's Table 1 on ResNet-32 and CIFAR-10; 25 minutes on 2 CPU cores.

    python train_main.py --config=configs/blockdrop_baselines_resnet32.py --workdir=runs/blockdrop/baselines \
        --data_dir=$DATA_DIR

FirstK, RandomK and DistributeK run as many units as BlockDrop's two runs (configs/blockdrop_resnet32_cpu.py, which come
first) on average, rounded up, on the weights of the network as it was given and finetuned under the pattern; beside
them stands what the paper lacks, the units that a greedy search on held-out images leaves on. Running the same command
again goes on where it stopped; a finetuning takes 2 minutes an epoch, and there are four.

Finetuning has BlockDrop's loss, optimizer and batch-norm re-estimation, but fewer epochs: --config.epochs=14 gives the
patterns as many as BlockDrop. Without finetuning batch norm stays as it was, as in BlockDrop's curriculum;
--config.reestimate_pretrained=True re-estimates it for each pattern, which helps them.
"""

import ml_collections

from configs import base, blockdrop_resnet32_cpu


def get_config():
    """Returns the config."""
    config = base.get_config()
    finetuning = blockdrop_resnet32_cpu.get_config("finetuning")
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
                "config": "configs/blockdrop_resnet32_cpu.py",
                "curriculum": blockdrop_resnet32_cpu.CURRICULUM,
                "finetuning": "runs/blockdrop/finetuning",
            }
        )
        config.reestimate_pretrained = False
        config.targets = ml_collections.ConfigDict({"margin_greedy": ">= 0"})
    return config
