"""IMTA's settings, on which its experiments stand: section 4 of the paper. Not an experiment of its own."""

import ml_collections

from configs import base

PHASES = ("I", "II")


def get_config(phase="I", start_from="", **network):
    """Returns the config of one phase.

    Args:
        phase: 'I', which trains everything, or 'II', which trains the classifiers on what a run of the former gave.
        start_from: that run's folder, for 'II'.
        **network: of the `network` section: an MSDNet's options that are not models.msdnet's defaults, num_classes,
            size.
    """
    base.check_setting(phase, PHASES)
    config = base.get_config()
    with config.unlocked():
        config.network = ml_collections.ConfigDict({"name": "msdnet", "num_classes": 10, "weights": "", **network})
        config.method = ml_collections.ConfigDict(
            {
                "name": "imta",
                "phase": phase,
                "gradient_equilibrium": True,
                "collaboration": "none",  # of exits with the one before: 'identity', or 'dense' with a hidden layer
                "hidden": 100,
                "alpha": 1.0,  # share of the cross entropy; the rest is distillation from the deepest exit
                "temperature": 1.0,
                "exit_weights": (),  # lambda of each exit, 1 if empty
                "confidence": "max_probability",  # by which images stop once thresholds are fitted
                "weight_decay": 1e-4,
                "distillation_weight": 0.0,
                "distillation_temperature": 4.0,
            }
        )
        del config.anneal
    config.batch_size = 64
    config.reestimate_images = 0  # nothing is skipped in training
    config.epochs, config.optimizer.boundaries, config.optimizer.decay = 300, (150, 225), 0.1
    config.evaluation.static = ()
    if phase == "II":
        config.start_from = start_from
        config.epochs, config.optimizer.boundaries = 180, (90, 135)
        # The paper gives neither share nor temperature; these are those of the authors' script for ImageNet.
        config.method.alpha, config.method.temperature = 0.1, 1.0
        config.method.collaboration = "dense"
    return config
