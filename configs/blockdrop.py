"""BlockDrop's settings, on which its experiments stand: the curriculum of the paper. Not an experiment of its own."""

import ml_collections

from configs import base


def get_config():
    """Returns the config."""
    config = base.get_config()
    with config.unlocked():
        config.method = ml_collections.ConfigDict(
            {
                "name": "blockdrop",
                "stage": "curriculum",  # or 'finetuning', which starts from a curriculum's run
                "policy": "resnet",  # 'recurrent', or 'sequential' for a decision before each unit
                "policy_trunk": "",  # zoo name of a trained ResNet-8 that the policy starts as
                "policy_pool": 0,  # pixels averaged along each side of what the policy sees; 0: as the paper
                "open_probability": 0.5,  # of an untrained policy
                "always": (),
                "alpha": 0.8,
                "gamma": 5.0,
                "usage": 0.0,  # share of units to run on average, or {unit: share}; 0 leaves it to gamma
                "hold": "gamma",  # how usage is held: 'gamma' or 'units'
                "hold_strength": 15.0,
                "policy_weight": 1.0,
                "entropy_weight": 0.1,
                "batch_norm": "batch",
                "weight_decay": 0.0,
                "distillation_weight": 0.0,
                "distillation_temperature": 4.0,
            }
        )
        config.anneal = ml_collections.ConfigDict({"a": 0.0, "k": 1, "start": 1.0})  # of usage; a = 0: at once
        config.curriculum = ml_collections.ConfigDict({"epochs": 1, "steps": 0})  # one of them, the other 0
    config.reestimate_images = 0  # batch norm is frozen in the curriculum
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-4
    config.optimizer.schedule = "constant"
    return config
