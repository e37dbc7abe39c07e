"""Runs networks on images, and finds the static twin: the fixed path of equal MACs."""

import contextlib
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_dynamic.callbacks import reestimate_batch_norm
from keras_dynamic.cost import given
from keras_dynamic.data import as_arrays
from keras_dynamic.deciders import Confidence, Pattern
from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.dynamic_model import as_dynamic
from keras_dynamic.layers.normalize_pixels import warn_of_fractions
from keras_dynamic.metrics import accuracies, activation_rates, distinct_paths, shuffled, units_run
from keras_dynamic.ops import answers, check_images, right_answers

Pair = tuple[Any, Any]  # images, labels

_FEW = 20  # up to so many decisions the twin tries each one; of more, only the least used
_LEAST_USED = 10


class Evaluation(NamedTuple):
    """Logits, decisions and MACs of a network on a set of images.

    Attributes:
        logits: float32 array, [n, ..., classes].
        predictions: int array, [n, ...], or [n, labels]; None without labels.
        labels: the right answers, of that shape; None if none were given.
        decisions: {name: 0/1 float32 array [n]}.
        macs: int64 array, [n].
    """

    logits: Any
    predictions: Any
    labels: Any
    decisions: dict
    macs: Any

    @property
    def accuracy(self) -> float:
        """Share of right answers; NaN without labels."""
        return float("nan") if self.labels is None else float((self.predictions == self.labels).mean())

    def accuracies(self) -> dict:
        """Returns the accuracy, and for more than 10 classes the top-5 accuracy."""
        if self.labels is None or self.logits.ndim != 2 or self.logits.shape[1] == 1 or self.predictions.ndim != 1:
            return {"accuracy": self.accuracy}
        return accuracies(self.logits, self.labels)

    def figures(self) -> dict:
        """Returns accuracy, macs_mean, macs_std, units_mean, units_std, distinct_paths and activation_rates.

        With more than 10 classes accuracy_top5 too. Units are those that can be skipped: one decision each.
        """
        units = units_run(self.decisions)
        return {
            **self.accuracies(),
            "macs_mean": float(self.macs.mean()),
            "macs_std": float(self.macs.std()),
            "units_mean": float(units.mean()),
            "units_std": float(units.std()),
            "distinct_paths": distinct_paths(self.decisions),
            "activation_rates": activation_rates(self.decisions),
        }


def compiled_outcome(model):
    """Returns model.outcome(images, decisions) in inference, compiled once; weights changed later are seen.

    Args:
        model: built DynamicModel.

    Returns:
        Function (images [batch, ...], decisions or None) -> Outcome.
    """

    def outcome(images, decisions):
        return model.outcome(images, decisions, training=False)

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(outcome, reduce_retracing=True)
    if backend == "jax":
        import jax

        @jax.jit
        def of_weights(values, images, decisions):
            with keras.StatelessScope(zip(model.variables, values, strict=True)):
                return outcome(images, decisions)

        return lambda images, decisions: of_weights([each.value for each in model.variables], images, decisions)
    return outcome


def evaluate(model, x, y=None, decisions=None, batch_size=250, outcome=None) -> Evaluation:
    """Runs a network on images, batch by batch.

    Args:
        model: built DynamicModel, or a functional or sequential Keras model.
        x: inputs, [n, ...], or a tf.data.Dataset or keras.utils.PyDataset of inputs and labels.
        y: labels, see ops.right_answers; None if only logits, decisions and MACs are wanted.
        decisions: {name: 0/1 array [n]} in place of the decider's.
        batch_size: images at a time.
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        Evaluation.

    Raises:
        ValueError: if images are missing or not finite, or labels are not one class for each.
    """
    model = as_dynamic(model, copy=False)
    x, y = as_arrays(x, y)
    check_images(x)
    warn_of_fractions(model, x)
    task = model.task
    if y is not None and task == "values":
        raise ValueError(
            "evaluate compares answers with labels, which a regression has not; leave y out, and take the error from "
            "model.evaluate(x, y)."
        )
    labels = None if y is None else right_answers(y, (len(x), *model.logits_shape[1:]), task)
    outcome = compiled_outcome(model) if outcome is None else outcome
    batches, taken = [], []
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        fixed = None
        if decisions is not None:
            fixed = {name: keras.ops.convert_to_tensor(value[rows], "float32") for name, value in decisions.items()}
        result = outcome(keras.ops.convert_to_tensor(x[rows]), fixed)
        batches.append(keras.ops.convert_to_numpy(result.logits))
        taken.append({name: keras.ops.convert_to_numpy(value) for name, value in result.decisions.items()})
    logits = np.concatenate(batches)
    joined = {name: np.concatenate([batch[name] for batch in taken]) for name in taken[0]}
    macs = np.broadcast_to(given(model.cost_tree, joined), (len(x),))
    return Evaluation(logits, None if labels is None else answers(logits, task), labels, joined, macs)


def accuracy_shuffled(model, x, y, decisions, outcome=None, seeds=range(5)) -> float:
    """Returns the mean accuracy when each image runs under all decisions of one other image.

    Args:
        model: built DynamicModel.
        x: images, [n, height, width, channels].
        y: class numbers [n], or one-hot labels [n, classes].
        decisions: the network's own decisions on x.
        outcome: compiled_outcome(model).
        seeds: one permutation each.
    """
    outcome = compiled_outcome(model) if outcome is None else outcome
    if not decisions:
        return evaluate(model, x, y, outcome=outcome).accuracy
    return float(np.mean([evaluate(model, x, y, shuffled(decisions, s), outcome=outcome).accuracy for s in seeds]))


@contextlib.contextmanager
def kept_weights(layer):
    """Restores the weights of a built layer or model when the block ends, after an error too."""
    before = layer.get_weights()
    try:
        yield
    finally:
        layer.set_weights(before)


class StaticTwin(NamedTuple):
    """The same weights under fixed patterns around a network's mean MACs."""

    accuracy: float  # on the line between the two points, at the network's mean MACs
    points: list  # [[macs, accuracy], ...]: two neighbouring patterns, rising
    patterns: list  # [{name: 0/1}, ...] of the points


def static_twin(model, held_out: Pair, test: Pair, macs_mean, batches=None, outcome=None) -> StaticTwin:
    """Returns the static twin at equal MACs: accuracy of the same weights if all images take the same path.

    From everything on, decisions are set to 0 one by one, that of least accuracy lost on held-out images first, until
    macs_mean is between two neighbouring patterns (greedy_patterns). The patterns of a cascade are its prefixes, with
    gated networks inside run whole; those of a network with a Confidence decider are its exits. MACs of the chain's
    decider do not count.

    Args:
        model: built DynamicModel.
        held_out: (images, labels) on which patterns are chosen.
        test: (images, labels) on which they are evaluated.
        macs_mean: the network's mean MACs on the test images.
        batches: list of augmented image batches on which batch norm is re-estimated for the two patterns, as it was for
            the network; None for no re-estimation.
        outcome: compiled_outcome(model).

    Returns:
        StaticTwin.
    """
    outcome = compiled_outcome(model) if outcome is None else outcome
    if isinstance(model.decider, Confidence):
        patterns = _prefixes(model.decider.names)
    else:
        patterns = greedy_patterns(model, held_out, outcome)
    above, below = None, None
    for pattern in patterns:
        if pattern_macs(model, pattern) >= macs_mean:
            above = pattern
        else:
            below = pattern
            break
    pair = [pattern for pattern in (below, above) if pattern is not None]
    points = []
    for pattern in pair:
        with kept_weights(model.chain):
            if batches is not None:
                reestimate_batch_norm(model, batches, decisions=_whole(model, pattern))
            fixed = _for_all(_whole(model, pattern), len(test[0]))
            points.append([pattern_macs(model, pattern), evaluate(model, *test, fixed, outcome=outcome).accuracy])
    macs, accuracies = zip(*points, strict=True)
    return StaticTwin(float(np.interp(macs_mean, macs, accuracies)), points, pair)


def greedy_patterns(model, held_out: Pair, outcome=None):
    """Yields static patterns from everything on to everything off, each with one decision less.

    Constant decisions stay as they are. The next to be 0 is the one that loses least accuracy on held-out images; a
    unit's decision takes those of its groups with it. Of more than 20 decisions only the 10 least used are tried each
    time, unless the decider uses all of them equally.

    Args:
        model: built DynamicModel.
        held_out: (images, labels).
        outcome: compiled_outcome(model).

    Yields:
        {name: 0/1}.
    """
    outcome = compiled_outcome(model) if outcome is None else outcome
    x, y = held_out
    constant = {name: int(run) for name, run in model.decider.constants.items()}
    pattern = {**dict.fromkeys(model.decider.names, 1), **constant}
    candidates = [name for name in pattern if name not in constant]
    tries = len(candidates)
    if tries > _FEW:
        rates = activation_rates(evaluate(model, x, y, outcome=outcome).decisions)
        candidates.sort(key=rates.__getitem__)
        if rates[candidates[0]] < rates[candidates[-1]]:
            tries = _LEAST_USED
    yield dict(pattern)
    while candidates:
        scores = {}
        for name in candidates[:tries]:
            tried = _for_all(_whole(model, pattern | {name: 0}), len(x))
            scores[name] = evaluate(model, x, y, tried, outcome=outcome).accuracy
        closed = max(scores, key=scores.__getitem__)
        gone = {closed, *(name for name, whole in model.decider.within.items() if whole == closed)}
        pattern |= dict.fromkeys(gone.intersection(candidates), 0)
        candidates = [name for name in candidates if name not in gone]
        yield dict(pattern)


def pattern_macs(model, pattern) -> int:
    """Returns the MACs of a chain under one fixed pattern, without the decider's.

    Args:
        model: built DynamicModel.
        pattern: {decision name: 0/1} for its units, groups and exits.
    """
    each = model.decider.decisions_by_target(model.chain, pattern)
    fixed = DynamicModel(model.chain, Pattern(each))
    fixed.decider.bind(model.chain)
    return int(given(fixed.cost_tree, _for_all({**_whole(model, pattern), **each}, 1))[0])


def _whole(model, pattern):
    """Returns the pattern with the decisions of networks inside units: 1 where the unit runs, or their constant."""
    whole = {name: pattern.get(name.partition("/")[0], 1) for name in model.decision_names}
    for unit in model.chain.units:
        if getattr(unit, "nested", False):
            for name, run in unit.network.decider.constants.items():
                whole[f"{unit.name}/{name}"] *= int(run)
    return whole


def _for_all(pattern, images):
    """Returns {name: float32 array [images]}."""
    return {name: np.full(images, run, np.float32) for name, run in pattern.items()}


def _prefixes(names):
    """Returns the patterns that run the first k of the names, most expensive first."""
    return [{name: int(index < k) for index, name in enumerate(names)} for k in range(len(names), -1, -1)]
