"""What a step of BlockDrop's curriculum costs beside two forward passes and a step of its policy; about a minute.

python train_main.py --config=configs/step_time_blockdrop.py --workdir=runs/step_time_blockdrop
"""

from configs import blockdrop


def get_config():
    """Returns the config."""
    config = blockdrop.get_config()
    with config.unlocked():
        config.job = "step_time"
        config.steps = 20
    return config
