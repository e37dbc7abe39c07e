"""SGAD on ResNet-32 and CIFAR-10, as in the paper: MF from scratch, then LF from there.

    CONFIG=configs/sgad_resnet32_cifar10.py
    python train_main.py --config=$CONFIG:mf --workdir=runs/sgad32/mf --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:lf --workdir=runs/sgad32/lf --data_dir=$DATA_DIR

Cost: 220 epochs each, some 10 minutes together on a recent GPU; 2 days on 2 CPU cores. Not run yet. The paper has
93.11 % at 0.86 of the MACs (MF) and 92.18 % at 0.47 (LF; table 1).

SGD, momentum 0.9, 0.1 divided by 10 after 128, 160 and 192 epochs, batch 128, weights 1, 1 and 0.3 of the losses are
section 4's. Weight decay, the noise's schedule and how LF goes on from MF are not given: 1e-4 as usual for these
networks, noise up to 2 over 100 epochs, and LF at a tenth of the learning rate on the same schedule. Other than there,
the last 5,000 training images are held out.
"""

from configs import sgad

SETTINGS = ("mf", "lf")


def get_config(setting="mf"):
    """Returns the config of one of the two settings, 'mf' or 'lf'."""
    return sgad.get_config(setting, "runs/sgad32/mf")
