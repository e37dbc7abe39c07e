"""One trained network at many thresholds: accuracy against MACs."""

from keras_dynamic.metrics import accuracies
from keras_dynamic.training.evaluate import compiled_outcome, evaluate
from keras_dynamic.training.operating_point import kept, set_tau, with_tau

TAUS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def tau_sweep(model, x, y, taus=TAUS, outcome=None) -> list[dict]:
    """Runs a network at one threshold after another; its own is what it was afterwards.

    Batch norm stays as it is, estimated at the network's own threshold.

    Args:
        model: built DynamicModel whose decider compares probabilities with tau: gates, or a policy.
        x: images, [n, height, width, channels].
        y: class numbers [n], or one-hot labels [n, classes].
        taus: thresholds, each in [0, 1]; 0 runs everything.
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        [{'tau', 'accuracy', 'accuracy_top5' of more than 10 classes, 'macs_mean'}, ...], in the order given.

    Raises:
        ValueError: if a threshold is outside [0, 1] or the decider has none.

    Source: Herrmann et al., section S2.3 and figure 10.
    """
    outcome = compiled_outcome(model) if outcome is None else outcome
    return [at_tau(model, x, y, tau, outcome) for tau in taus]


def at_tau(model, x, y, tau, outcome) -> dict:
    """Runs a network at one threshold, as tau_sweep does at several.

    Args:
        model: built DynamicModel, as for tau_sweep.
        x: images, [n, height, width, channels].
        y: class numbers [n], or one-hot labels [n, classes].
        tau: threshold, in [0, 1].
        outcome: compiled_outcome(model).

    Returns:
        An entry of tau_sweep.

    Raises:
        ValueError: if the threshold is outside [0, 1] or the decider has none.
    """
    if not with_tau(model):
        raise ValueError(
            f"tau is swept on a decider that has one, which {type(model.decider).__name__} lacks; give a model with "
            "gates or a policy."
        )
    with kept(model):
        set_tau(model, tau)
        found = evaluate(model, x, y, outcome=outcome)
    return {"tau": float(tau), **accuracies(found.logits, found.labels), "macs_mean": float(found.macs.mean())}
