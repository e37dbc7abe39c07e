"""MSDNet on CIFAR-10 with 6 and 8 exits, depths 21 and 36, as in the paper: phase I from scratch, then II from there.

    CONFIG=configs/imta_cifar10.py
    python train_main.py --config=$CONFIG:6_I --workdir=runs/imta_c10/6_I --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:6_II --workdir=runs/imta_c10/6_II --data_dir=$DATA_DIR

Cost: 300 and 180 epochs, some 8 hours together on a recent GPU with 8 exits. Not run yet. The paper has curves alone
(figure 2), without numbers.

Settings of section 4; alpha and temperature are not in the paper, configs/imta.py says whose they are.
"""

import itertools

from configs import base, imta

EXITS = (6, 8)
BUDGETS = {6: 30e6, 8: 60e6}  # mean MACs of the network that is judged; the curve has the others

SETTINGS = tuple(f"{exits}_{phase}" for exits, phase in itertools.product(EXITS, imta.PHASES))


def get_config(setting="6_I"):
    """Returns the config of so many exits and one phase."""
    base.check_setting(setting, SETTINGS)
    exits, phase = setting.split("_")
    config = imta.get_config(phase, f"runs/imta_c10/{exits}_I", blocks=int(exits))
    config.label = f"phase {phase}"
    config.evaluation.macs = BUDGETS[int(exits)]
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k")
    return config
