"""Ways to run a gated network that samples: stochastic, and ensembles."""

import keras
import numpy as np

from keras_dynamic.deciders import Stochastic
from keras_dynamic.layers import DynamicModel
from keras_dynamic.ops import check_classes


def stochastic(model, x, runs=5, seed=0, batch_size=256):
    """Runs a gated network several times with sampled gates.

    Thresholding is model.outcome(x) with decider.set_tau(tau); always-on is tau = 0.

    Args:
        model: DynamicModel with PerUnitGates.
        x: images, [n, height, width, channels].
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
    sampled = DynamicModel(model.chain, Stochastic(model.decider, seed=seed))
    logits, cost = [], []
    for _ in range(runs):
        outcomes = [sampled.outcome(x[i : i + batch_size], training=False) for i in range(0, len(x), batch_size)]
        logits.append(np.concatenate([keras.ops.convert_to_numpy(outcome.logits) for outcome in outcomes]))
        cost.append(np.concatenate([keras.ops.convert_to_numpy(outcome.cost) for outcome in outcomes]))
    return np.array(logits), np.array(cost)


def ensemble(model, x, runs=5, seed=0, batch_size=256):
    """Returns the mean softmax of several sampled runs.

    Args:
        model: DynamicModel with PerUnitGates.
        x: images, [n, height, width, channels].
        runs: how often.
        seed: of the samples.
        batch_size: images at a time.

    Returns:
        (probabilities [n, classes], cost [n]): cost is the sum over the runs.

    Source: Herrmann et al., sections 3.3 and S2.2.
    """
    return ensemble_of(*stochastic(model, x, runs, seed, batch_size))


def ensemble_of(logits, cost):
    """Returns what runs say together: the mean of their softmax.

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
