"""Batch activation gating of ResNet-32 on CIFAR-10, at the settings of Herrmann et al. for ResNet-110; from scratch.

    python train_main.py --config=configs/activation_resnet32_cifar10.py --workdir=runs/activation --data_dir=$DATA_DIR

Cost: 350 epochs, some 10 minutes on a recent GPU; days on 2 CPU cores. Not run yet; the paper has no ResNet-32.

The paper's section 4.1 takes AIG's schedule and gives batch size, momentum, weight decay (1e-4, on gates 20 / gates
times that) and inference at tau 0.5; S4.4 says that CIFAR-10 is trained from scratch; S1.1 gives the annealing. AIG's
own CIFAR-10 script has the rest: 350 epochs, 0.1 divided by 10 after 150 and 250, plain momentum, crops and flips.
Batch norm is re-estimated on one pass over the training images, 176 batches, for the paper's 200. Other than in the
paper, the last 5,000 training images are held out and choose the epoch; the paper reports the best on the test set.
"""

from configs import base


def get_config():
    """Returns the config."""
    config = base.get_config()
    config.epochs = 350
    config.batch_size = 256
    config.reestimate_images = 45_000
    config.network.weights = ""
    config.method.target = 0.6
    config.method.activation_loss = "batch"
    config.method.activation_weight = 1.0
    config.method.weight_decay = 1e-4
    config.anneal.a, config.anneal.k = 0.05, 5
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum, config.optimizer.nesterov = 0.9, False
    config.optimizer.schedule = "steps"
    config.optimizer.boundaries, config.optimizer.decay = (150, 250), 0.1
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    return config
