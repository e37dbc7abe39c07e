"""Thresholds with a bound on what they cost in accuracy, and a watch on whether the data stay as they were."""

import warnings
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_dynamic.data import as_arrays
from keras_dynamic.evaluation.evaluate import compiled_outcome, evaluate
from keras_dynamic.evaluation.exits import exit_answers, exit_confidence, kept, set_tau, with_tau
from keras_dynamic.messages import is_count
from keras_dynamic.models import DISCOUNTS, Cascade
from keras_dynamic.ops import answers, check_images, right_answers, stops
from keras_dynamic.ops.risk import excess_p_value, images_needed, share_p_value

_STEPS = 100  # thresholds that are tried, from the strictest on
_PATH = 0.1  # of the images, on which the thresholds to try are chosen


class Calibrated(NamedTuple):
    """Thresholds that keep a promise, and what they give on the images that they were chosen on.

    Attributes:
        thresholds: float32 [stages - 1], of confidences; None of a model that has none.
        tau: threshold of gates or a policy; None of a model that has none.
        excess: share of errors beyond the whole network's, or of answers that differ from its.
        spent: mean MACs per image.
        p_value: of the hypothesis that the promise is broken; at most delta. 1 if nothing was shown, so that everything
            runs, and a cascade answers as its last network alone.
        risk: that was asked for.
        delta: likewise.
    """

    thresholds: np.ndarray | None
    tau: float | None
    excess: float
    spent: float
    p_value: float
    risk: float
    delta: float


def calibrate(model, x, y=None, risk=0.01, delta=0.1, seed=0) -> Calibrated:
    """Sets the thresholds to the laxest for which a promise about errors holds, and returns them.

    The promise: with probability 1 - delta over the draw of these images, the dynamic network's error on new images of
    the same kind exceeds the whole network's by at most `risk`; without labels, at most this share of its answers
    differs from the whole network's. The whole network is the one in which everything runs; of a cascade, its last
    network alone.

        kd.evaluation.calibrate(model, x_held_out, y_held_out, risk=0.01, delta=0.1)

    Thresholds are tried from the strictest on, all stages with the same one, until for one of them the hypothesis that
    the promise is broken cannot be rejected any more: a fixed sequence of tests, each at level delta. One image in ten
    chooses which are tried, and of a cascade the discount, of models.DISCOUNTS the one with which all networks together
    are right most often, the smallest of equals.

    Args:
        model: Cascade; or built DynamicModel with a Confidence decider for its exits, or with gates or a policy (tau).
        x: held-out images that no network was trained on, [n, ...], or a data set of such and their labels.
        y: labels, see ops.right_answers; None for a promise about answers that differ.
        risk: what the error may exceed the whole network's by, in (0, 1).
        delta: probability that the promise is broken, in (0, 1).
        seed: of the draw of one image in ten.

    Returns:
        Calibrated.

    Raises:
        ValueError: if risk or delta are not in (0, 1), there are too few images for any promise (the sentence says how
            many it takes), the model has no thresholds, or answers are not one for each image.

    Warns:
        UserWarning: if nothing can be promised, so that everything runs; or if networks of a cascade may have been
            trained on these images.

    Source: Angelopoulos et al., Learn then Test (arXiv 2110.01052), fixed sequence testing.
    """
    for name, value in (("risk", risk), ("delta", delta)):
        if isinstance(value, bool) or not 0 < float(value) < 1:
            raise ValueError(f"{name} must be over 0 and under 1, got {value!r}; 0.01 and 0.1 are usual.")
    x, y = as_arrays(x, y)
    check_images(x, model.image_shape)
    if model.task == "values" or len(model.logits_shape) != 2:
        raise ValueError(
            "a promise about errors needs one answer for each image that is right or wrong, got a regression or "
            "several answers; give a classifier."
        )
    path = np.zeros(len(x), bool)
    path[np.random.default_rng(seed).permutation(len(x))[: int(_PATH * len(x))]] = True
    needed = images_needed(risk, delta)
    least = int(np.ceil(needed / (1 - _PATH)))
    if (~path).sum() < needed:
        raise ValueError(
            f"a promise of {risk:g} with probability {1 - delta:g} takes at least {least} images, got {len(x)}; give "
            "more, or promise less."
        )
    labels = None if y is None else right_answers(y, (len(x), *model.logits_shape[1:]), model.task)
    decider = model.decider if isinstance(model, Cascade) else exit_confidence(model)
    if decider is None and not with_tau(model):
        raise ValueError(
            "calibrate sets thresholds of confidences, or tau of gates or a policy, and "
            f"{type(model.decider).__name__} has none; give a cascade, DynamicModel(chain, Confidence()), or a network "
            "with gates."
        )
    if decider is None:
        whole, candidates = _tau_candidates(model, x)
    else:
        stages = _best_stages(model, x, labels, path)
        whole, candidates = stages.whole, stages.candidates(path)
    found, excess = laxest(candidates, whole, labels, ~path, risk, delta)
    if found is None:
        takes = f"some {max(4 * least, 2 * len(x)):,} images" if excess < risk else "another network"
        warnings.warn(
            f"nothing can be promised: at the strictest threshold {excess:.4f} of the answers are lost, and a risk of "
            f"{risk:g} is not shown with {len(x)} images; everything runs. It takes {takes}.",
            stacklevel=2,
        )
        found = (0.0 if decider is None else np.inf, 0.0, float(model.cost_tree.total_macs), 1.0)
        if isinstance(model, Cascade):
            model.set_discount(0.0)  # so that the last network alone answers, which is what was promised
    threshold, excess, spent, p_value = found
    if decider is None:
        set_tau(model, threshold)
        return Calibrated(None, float(threshold), excess, spent, p_value, risk, delta)
    thresholds = np.full(len(decider.confidence_names), threshold, np.float32)
    decider.set_thresholds(thresholds)
    return Calibrated(thresholds, None, excess, spent, p_value, risk, delta)


def _best_stages(model, x, labels, path):
    """Returns stage_answers; of a cascade with the discount that is best on some of the images, which it then has."""
    if not isinstance(model, Cascade):
        return stage_answers(model, x, labels)
    _, _, spent, alone = model.stages(x)
    if labels is not None:
        model.warn_of_seen(alone, labels)
    whole = answers(alone[-1], model.task)
    wanted = (whole if labels is None else labels)[path]

    def of(discount):
        sums, certain = model.sums_of(alone, discount)
        return StageAnswers(np.stack([answers(each, model.task) for each in sums], axis=1), certain, spent, whole)

    def right(discount):
        return float((~_differ(of(discount).predictions[path, -1], wanted)).mean())

    # Not the one that an earlier call has left; of equals the smallest, nearest to the last network alone.
    model.set_discount(max(sorted(DISCOUNTS), key=right))
    return of(model.discount)


def laxest(candidates, whole, labels, rows, risk, delta):
    """Returns the laxest of candidates for which the promise holds, and the excess of the last one that was tried.

    Args:
        candidates: iterable of (threshold, answers [n, ...], MACs [n]), from the strictest on.
        whole: answers of the whole network, [n, ...].
        labels: right answers, [n, ...], or None.
        rows: bool array [n], the images that the promise is tested on.
        risk: as of calibrate.
        delta: likewise.

    Returns:
        ((threshold, excess, mean MACs, p-value) or None, excess).
    """
    found, excess = None, 0.0
    for threshold, predictions, spent in candidates:
        excess, p_value = _tested(predictions[rows], whole[rows], None if labels is None else labels[rows], risk)
        if p_value > delta:
            break
        found = (threshold, excess, float(spent[rows].mean()), p_value)
    return found, excess


def _tested(predictions, whole, labels, risk):
    """Returns the excess error, or the share of answers that differ, on a sample, and its p-value."""
    if labels is None:
        differing = int(_differ(predictions, whole).sum())
        return differing / len(whole), share_p_value(differing, len(whole), risk)
    wrong, wrong_whole = _differ(predictions, labels), _differ(whole, labels)
    lost, gained = int((wrong & ~wrong_whole).sum()), int((~wrong & wrong_whole).sum())
    return (lost - gained) / len(whole), excess_p_value(lost, gained, len(whole), risk)


def _differ(found, wanted) -> np.ndarray:
    """Returns for each image whether an answer, or one of several labels, differs."""
    return (found != wanted).reshape(len(found), -1).any(axis=1)


class StageAnswers(NamedTuple):
    """What a cascade, or a network with exits, answers at each of its stages.

    Attributes:
        predictions: answers, [n, stages, ...].
        certain: confidences, [n, stages - 1].
        spent: MACs of an image that stops there, [n, stages].
        whole: answers of the whole network, [n, ...].
    """

    predictions: np.ndarray
    certain: np.ndarray
    spent: np.ndarray
    whole: np.ndarray

    def candidates(self, path):
        """Yields (threshold, answers, MACs) of thresholds that are the same at all stages, from the strictest on.

        Args:
            path: bool array [n], the images whose confidences are tried as thresholds.
        """
        seen, rows = self.certain[path], np.arange(len(self.predictions))
        for level in np.unique(np.quantile(seen, np.linspace(0, 1, _STEPS), method="higher"))[::-1]:
            at = stops(self.certain, np.full(self.certain.shape[1], level, np.float32))
            yield level, self.predictions[rows, at], self.spent[rows, at]


def stage_answers(model, x, labels=None) -> StageAnswers:
    """Runs a cascade, or a network whose exits a Confidence decider decides, to its end.

    Args:
        model: as of calibrate.
        x: inputs, [n, ...].
        labels: right answers, with which networks of a cascade are checked for having been trained on x; or None.
    """
    if isinstance(model, Cascade):
        sums, certain, spent, alone = model.stages(x)
        if labels is not None:
            model.warn_of_seen(alone, labels)
        predictions = np.stack([answers(each, model.task) for each in sums], axis=1)
        return StageAnswers(predictions, certain, spent, answers(alone[-1], model.task))
    kind: Any = exit_confidence(model)
    exits = exit_answers(model, x, kind.confidence)
    return StageAnswers(exits.predictions, exits.confidences[:, :-1], exits.macs, exits.predictions[:, -1])


def _tau_candidates(model, x):
    """Returns the answers with everything on, and an iterator of (tau, answers, MACs) from the strictest on."""
    outcome = compiled_outcome(model)

    def at(tau):
        with kept(model):
            set_tau(model, tau)
            found = evaluate(model, x, outcome=outcome)
        return answers(keras.ops.convert_to_numpy(found.logits), model.task), np.asarray(found.macs, float)

    def tried():
        for tau in np.linspace(0.02, 0.98, _STEPS // 2 - 1):
            yield (tau, *at(tau))

    return at(0.0)[0], tried()


class StopMonitor:
    """Watches whether images in use stop where held-out images did.

    Counts of stops are compared window by window: the p-value is the share of random divisions of all images, held-out
    ones and those of the window together, that differ as much (a permutation test of the chi-square statistic). While
    the data are as they were, a window raises a false alarm with probability `false_alarm` at most.

        monitor = kd.evaluation.StopMonitor([640, 250, 110], window=500, false_alarm=0.001)
        for image in camera:
            if monitor.update(stop_of(image)):
                print("the images are not what they were")

    Args:
        held_out: how many held-out images stopped at each stage, the last one included.
        window: images in use that are compared at a time.
        false_alarm: probability of an alarm in a window without a change, in (0, 1).
        seed: of the random divisions.

    Attributes:
        p_value: of the last whole window; None before the first.

    Raises:
        ValueError: if counts are no counts, or window and false_alarm are not what they should be.
    """

    def __init__(self, held_out, window=1000, false_alarm=0.001, seed=0):
        self.held_out = np.asarray(held_out)
        kinds = self.held_out.dtype.kind in "iu" and self.held_out.ndim == 1 and len(self.held_out) > 1
        if not kinds or (self.held_out < 0).any() or not self.held_out.sum():
            raise ValueError(
                f"held_out must be how many images stopped at each of two or more stages, got {held_out!r}."
            )
        if not is_count(window):
            raise ValueError(f"window must be a number of images, at least 1, got {window!r}.")
        if isinstance(false_alarm, bool) or not 0 < float(false_alarm) < 1:
            raise ValueError(f"false_alarm must be over 0 and under 1, got {false_alarm!r}.")
        self.window, self.false_alarm = window, float(false_alarm)
        self.p_value: float | None = None
        self._counts = np.zeros(len(self.held_out), int)
        self._rng = np.random.default_rng(seed)

    def update(self, stage) -> bool:
        """Counts an image, and returns whether its window, if it is the last of one, raises an alarm.

        Args:
            stage: at which it stopped, from 0.

        Raises:
            ValueError: if there is no such stage.
        """
        if not 0 <= stage < len(self.held_out):
            raise ValueError(f"stage must be a number from 0 to {len(self.held_out) - 1}, got {stage!r}.")
        self._counts[stage] += 1
        if self._counts.sum() < self.window:
            return False
        self.p_value, self._counts = self._compared(self._counts), np.zeros_like(self._counts)
        return self.p_value <= self.false_alarm

    def _compared(self, counts) -> float:
        divisions = int(np.ceil(20 / self.false_alarm))
        drawn = self._rng.multivariate_hypergeometric(self.held_out + counts, counts.sum(), size=divisions)
        as_much = (
            _chi_square(drawn, self.held_out + counts) >= _chi_square(counts, self.held_out + counts) - 1e-9
        ).sum()
        return float((1 + as_much) / (1 + divisions))


def _chi_square(counts, together) -> np.ndarray:
    """Returns how far counts, [..., stages], lie from their share of all, the same factor for all left out."""
    expected = np.maximum(together * counts.sum(axis=-1, keepdims=True) / together.sum(), 1e-12)
    return ((counts - expected) ** 2 / expected).sum(axis=-1)
