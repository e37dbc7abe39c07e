"""What gates give when they are run in each of the ways that there are: threshold, always on, sampled, ensembles."""

import keras
import numpy as np

from keras_dynamic.methods import ensemble_of, stochastic
from keras_dynamic.metrics import accuracies
from keras_dynamic.ops import check_images, class_numbers
from keras_dynamic.training.evaluate import compiled_outcome
from keras_dynamic.training.tau_sweep import TAUS, at_tau, tau_sweep


def inference_figures(model, x, y, taus=TAUS, runs=5, ensembles=(2, 5), seed=0) -> dict:
    """Compares the ways to run a gated network; it is left as it was.

    Args:
        model: built DynamicModel with PerUnitGates or ChannelGates.
        x: images, [n, height, width, channels].
        y: class numbers [n], or one-hot labels [n, classes].
        taus: thresholds of the sweep, each in [0, 1].
        runs: samples of stochastic inference, at least 2.
        ensembles: how many of these samples answer together, each from 1 to runs.
        seed: of the samples.

    Returns:
        'inference', a list of {'mode', 'accuracy', 'accuracy_top5' of more than 10 classes, 'macs_mean'}: 'threshold',
        with 'tau', the network's own; 'always_on'; 'stochastic', with 'runs', the figures' means over them, and their
        standard deviations as 'accuracy_std', 'accuracy_top5_std' and 'macs_mean_std'; 'ensemble', with 'runs', once
        for each of `ensembles`, whose MACs are the sum. And 'tau_sweep', as tau_sweep gives it.

    Raises:
        ValueError: if there are too few runs, an ensemble is larger than they are, a threshold is outside [0, 1], the
            model has no gates, images are missing or not finite, or labels are not one class for each.

    Source: Herrmann et al., sections 3.3 and S2.2 to S2.4, figures 10 to 12.
    """
    if runs < 2:
        raise ValueError(f"runs must be at least 2, as one has no standard deviation, got {runs!r}.")
    for size in ensembles:
        if not 1 <= size <= runs:
            raise ValueError(f"an ensemble is made of 1 to {runs} runs, got {size!r}; raise runs.")
    check_images(x)
    y = class_numbers(y, model.classes, len(x))
    logits, cost = stochastic(model, x, runs, seed)
    macs = cost * model.cost_tree.total_macs
    outcome = compiled_outcome(model)
    own = float(keras.ops.convert_to_numpy(model.decider.tau))
    always_on = at_tau(model, x, y, 0.0, outcome)
    del always_on["tau"]
    rows = [
        {"mode": "threshold", **at_tau(model, x, y, own, outcome)},
        {"mode": "always_on", **always_on},
        {"mode": "stochastic", "runs": runs, **_over_runs(logits, macs, y)},
        *({"mode": "ensemble", "runs": size, **_together(logits[:size], macs[:size], y)} for size in ensembles),
    ]
    return {"inference": rows, "tau_sweep": tau_sweep(model, x, y, taus, outcome)}


def _over_runs(logits, macs, y):
    """Returns means and standard deviations of the runs' figures."""
    single = [
        {**accuracies(scores, y), "macs_mean": float(spent.mean())} for scores, spent in zip(logits, macs, strict=True)
    ]
    values = {name: np.array([figures[name] for figures in single]) for name in single[0]}
    means = {name: float(value.mean()) for name, value in values.items()}
    return means | {f"{name}_std": float(value.std(ddof=1)) for name, value in values.items()}


def _together(logits, macs, y):
    """Returns the figures of the runs' ensemble."""
    probabilities, spent = ensemble_of(logits, macs)
    return {**accuracies(probabilities, y), "macs_mean": float(spent.mean())}
