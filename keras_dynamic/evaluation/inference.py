"""Modes of inference of a gated network: thresholds, sampled gates, ensembles."""

import keras
import numpy as np

from keras_dynamic.data import as_arrays
from keras_dynamic.deciders import Stochastic
from keras_dynamic.evaluation.budgets import TAUS, at_tau, tau_sweep
from keras_dynamic.evaluation.evaluate import compiled_outcome
from keras_dynamic.layers import DynamicModel
from keras_dynamic.metrics import accuracies
from keras_dynamic.ops import check_classes, check_images, class_numbers


def stochastic(model, x, runs=5, seed=0, batch_size=256):
    """Runs a gated network several times with sampled gates.

    Thresholding is model.outcome(x) with decider.set_tau(tau); always-on is tau = 0.

    Args:
        model: DynamicModel with PerUnitGates.
        x: images, [n, height, width, channels], or a data set of batches.
        runs: how often.
        seed: of the samples.
        batch_size: images at a time.

    Returns:
        (logits [runs, n, classes], cost [runs, n]), float32 arrays; cost is MACs over the MACs of everything on.

    Raises:
        ValueError: if the model's decider has no gates to sample, or runs is under 1.

    Source: Herrmann et al., section 3.3.
    """
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs!r}.")
    x, _ = as_arrays(x)
    sampled = DynamicModel(model.chain, Stochastic(model.decider, seed=seed))
    logits, cost = [], []
    for _ in range(runs):
        outcomes = [sampled.outcome(x[i : i + batch_size], training=False) for i in range(0, len(x), batch_size)]
        logits.append(np.concatenate([keras.ops.convert_to_numpy(outcome.logits) for outcome in outcomes]))
        cost.append(np.concatenate([keras.ops.convert_to_numpy(outcome.cost) for outcome in outcomes]))
    return np.array(logits), np.array(cost)


def ensemble(model, x, runs=5, seed=0, batch_size=256):
    """Returns the mean softmax of several sampled runs.

    Arguments are those of stochastic, the result is that of ensemble_of.

    Source: Herrmann et al., sections 3.3 and S2.2.
    """
    return ensemble_of(*stochastic(model, x, runs, seed, batch_size))


def ensemble_of(logits, cost):
    """Returns the mean softmax of several runs, and their total cost.

    Args:
        logits: [runs, n, classes], as stochastic returns them.
        cost: [runs, n].

    Returns:
        (probabilities [n, classes], cost [n]): cost is the sum over the runs.

    Raises:
        ValueError: if there is one logit per image.
    """
    check_classes(logits.shape[-1], "an ensemble")
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (shifted / shifted.sum(axis=-1, keepdims=True)).mean(axis=0), cost.sum(axis=0)


def inference_figures(model, x, y=None, taus=TAUS, runs=5, ensembles=(2, 5), seed=0) -> dict:
    """Compares the modes of inference of a gated network, which is left unchanged.

    Args:
        model: built DynamicModel with PerUnitGates or ChannelGates.
        x: images, [n, height, width, channels], or a data set of images and labels.
        y: class numbers [n], or one-hot labels [n, classes].
        taus: thresholds of the sweep, each in [0, 1].
        runs: samples of stochastic inference, at least 2.
        ensembles: sizes of ensembles of these samples, each from 1 to runs.
        seed: of the samples.

    Returns:
        'inference', a list of {'mode', 'accuracy', 'accuracy_top5' of more than 10 classes, 'macs_mean'}: 'threshold',
        with 'tau', the network's own; 'always_on'; 'stochastic', with 'runs', the figures' means over them, and their
        standard deviations as 'accuracy_std', 'accuracy_top5_std' and 'macs_mean_std'; 'ensemble', with 'runs', once
        for each of `ensembles`, whose MACs are the sum. And the list 'tau_sweep'.

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
    x, y = as_arrays(x, y)
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
    """Returns the figures of an ensemble of the runs."""
    probabilities, spent = ensemble_of(logits, macs)
    return {**accuracies(probabilities, y), "macs_mean": float(spent.mean())}
