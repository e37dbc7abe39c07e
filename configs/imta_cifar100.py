"""MSDNet on CIFAR-100 as in the paper: 4, 5, 6 and 8 exits, and the 7 of its table 1; phase I, then II from there.

    CONFIG=configs/imta_cifar100.py
    python train_main.py --config=$CONFIG:7_I --workdir=runs/imta_c100/7_I --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:7_II --workdir=runs/imta_c100/7_II --data_dir=$DATA_DIR

The ablation of table 2 has 5 exits:

    PLAIN=--config.method.gradient_equilibrium=False
    python train_main.py --config=$CONFIG:5_I $PLAIN --workdir=runs/imta_c100/5_plain --data_dir=$DATA_DIR

Cost: 300 and 180 epochs, some 6 hours together on a recent GPU with 7 exits. Not run yet. The paper's table 1 has
64.00, 68.41, 71.86, 73.50, 74.46, 75.39 and 75.96 % at 6.86, 14.35, 27.29, 48.45, 76.43, 108.9 and 137.3 M MACs.

Settings of section 4; alpha and temperature are not in the paper, configs/imta.py says whose they are.
"""

import itertools

from configs import base, imta

EXITS = (4, 5, 6, 7, 8)
BUDGETS = {4: 20e6, 5: 25e6, 6: 30e6, 7: 45e6, 8: 60e6}  # mean MACs of the network that is judged; the rest is a curve

SETTINGS = tuple(f"{exits}_{phase}" for exits, phase in itertools.product(EXITS, imta.PHASES))


def get_config(setting="4_I"):
    """Returns the config of so many exits and one phase."""
    base.check_setting(setting, SETTINGS)
    exits, phase = setting.split("_")
    config = imta.get_config(phase, f"runs/imta_c100/{exits}_I", blocks=int(exits), num_classes=100)
    config.data.name, config.label = "cifar100", f"phase {phase}"
    config.evaluation.macs = BUDGETS[int(exits)]
    return config
