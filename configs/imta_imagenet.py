"""MSDNet on ImageNet as in the paper: five exits, t layers apart, t of 4, 6 and 7; phase I, then II from there.

    CONFIG=configs/imta_imagenet.py
    python train_main.py --config=$CONFIG:4_I --workdir=runs/imta_imagenet/4_I --data_dir=$DATA_DIR
    python train_main.py --config=$CONFIG:4_II --workdir=runs/imta_imagenet/4_II --data_dir=$DATA_DIR

Cost: 90 epochs of 1.2 million images each; days on a recent GPU, 100 hours or more. Never run: ImageNet does not come
along (configs/imagenet.py says what is needed). What is tested is that it builds.

The paper's table 3 has 57.28, 66.22, 70.24, 71.71 and 72.43 % at the five exits. Settings of section 4: exit i stands
behind layer t i + 3; 50,000 images are held out.
"""

import itertools

from configs import base, imagenet, imta

STEPS = (4, 6, 7)
BUDGETS = {4: 700e6, 6: 1200e6, 7: 1600e6}  # mean MACs of the network that is judged; the curve has the others

SETTINGS = tuple(f"{step}_{phase}" for step, phase in itertools.product(STEPS, imta.PHASES))


def get_config(setting="4_I"):
    """Returns the config of so many layers between exits and one phase."""
    base.check_setting(setting, SETTINGS)
    step, phase = setting.split("_")
    layers = {"blocks": 5, "base": int(step) + 3, "step": int(step), "step_mode": "even"}
    config = imta.get_config(phase, f"runs/imta_imagenet/{step}_I", **layers, num_classes=1000, size=224)
    with config.unlocked():
        config.data = imagenet.images()
    config.data.held_out = 50_000
    config.label = f"t = {step}, phase {phase}"
    config.batch_size = 256
    config.epochs, config.optimizer.boundaries = 90, (30, 60)
    config.evaluation.macs = BUDGETS[int(step)]
    return config
