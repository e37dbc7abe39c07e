"""Batch activation gating of ResNet-110 on CIFAR-10 at the settings of Herrmann et al.; from scratch.

    CONFIG=configs/activation_resnet110_cifar10.py
    python train_main.py --config=$CONFIG --workdir=runs/activation --data_dir=$DATA_DIR
    for SETTING in dep_pb_0.3 variable_quad anneal_0.8; do  # the sweep of S4.4: one setting of the list after another
      python train_main.py --config=$CONFIG:$SETTING --workdir=runs/s44/$SETTING --data_dir=$DATA_DIR
    done

Settings:
- annealed (the default): gates that look at the unit's input, target 0.6, annealed as S1.1 says. The paper has 94.36 %
  at 0.65 of the FLOPs for target 0.6 (figure 5; the best epoch on the test set), and 93.39 % without gates.
- dep_pb_T, dep_pg_T, ind_pb_T, ind_pg_T: gates that look at the input (dep) or at nothing (ind), the loss of a batch
  (pb) or of each gate (pg), at target T = 0.0, 0.1, ... 0.8 from the first epoch on.
- variable_quad, variable_const_quad: targets that follow the activation, from 0.8 in each epoch. The paper does not say
  by which average; here it is the moving one.
- anneal_0.8: 1.0 down to 0.8 by 0.05; anneal_0.6: 0.8 down to 0.6 by 0.1. The paper has no epochs for that; here 5.

Figure 23, best errors: dep_pb 10.34 (target 0.0), 8.04 (0.3), 6.86 (0.6), 6.35 (0.8); ind_pb 9.38, 7.4, 6.46, 6.21;
variable_quad 6.16 at activation 0.652, variable_const_quad 6.55 at 0.623, anneal_0.8 5.57 at 0.827, anneal_0.6 6.17 at
0.633: best epochs on the test set, gates sampled. Here gates compare with 0.5 and held-out images choose the epoch.

Cost: 350 epochs, some 40 minutes on a recent GPU each; weeks on 2 CPU cores. Not run yet.
Settings as in activation_resnet32_cifar10.py, which says where each comes from.
"""

from configs import activation_resnet32_cifar10, base

SWEPT = {
    "dep_pb": (True, "batch"),
    "dep_pg": (True, "per_gate"),
    "ind_pb": (False, "batch"),
    "ind_pg": (False, "per_gate"),
}
ANNEALED = {"anneal_0.8": (1.0, 0.05), "anneal_0.6": (0.8, 0.1)}  # from where, by how much
VARIABLE = {"variable_quad": False, "variable_const_quad": True}  # const_quad

SETTINGS = ("annealed", *(f"{kind}_{tenths / 10}" for kind in SWEPT for tenths in range(9)), *VARIABLE, *ANNEALED)


def get_config(setting="annealed"):
    """Returns the config of one setting of the sweep."""
    base.check_setting(setting, SETTINGS)
    config = activation_resnet32_cifar10.get_config()
    config.network.depth = 110
    if setting == "annealed":
        return config
    config.label = setting
    kind, _, target = setting.rpartition("_")
    if setting in VARIABLE:
        with config.unlocked():
            config.method.variable_target = "moving"
        config.method.const_quad = VARIABLE[setting]
        config.method.target = config.anneal.start = 0.8
    elif setting in ANNEALED:
        config.anneal.start, config.anneal.a = ANNEALED[setting]
        config.method.target = float(target)
    else:
        config.method.data_dependent, config.method.activation_loss = SWEPT[kind]
        config.method.target = config.anneal.start = float(target)
    return config
