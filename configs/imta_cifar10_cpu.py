"""A small MSDNet on CIFAR-10 by all three techniques of IMTA, on 2 CPU cores: phase I, then phase II.

    CONFIG=configs/imta_cifar10_cpu.py
    python train_main.py --config=$CONFIG:ge --workdir=runs/imta10/ge --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:ge_isc_ofa --workdir=runs/imta10/ge_isc_ofa --data_dir=$DATA_DIR

The network and the settings are those of imta_cifar100_cpu.py. The second run's network is zoo:msdnet_cifar10.
"""

from configs import base, imta_cifar100_cpu

SETTINGS = ("ge", "ge_isc_ofa")


def get_config(setting="ge"):
    """Returns the config of phase I, 'ge', or of phase II, 'ge_isc_ofa', which goes on from it."""
    base.check_setting(setting, SETTINGS)
    config = imta_cifar100_cpu.get_config(f"{setting}_0")
    config.label = setting.replace("_", ", ")
    config.data.name, config.network.num_classes = "cifar10", 10
    if setting == "ge_isc_ofa":
        config.start_from = "runs/imta10/ge"
    config.evaluation.static = ("resnet8_cifar10_45k", "resnet14_cifar10_45k", "resnet20_cifar10_45k")
    return config
