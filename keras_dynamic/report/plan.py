"""Will it pay? What each way of making a trained network dynamic can be expected to save, before any training."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_dynamic import lite
from keras_dynamic.deciders import Confidence, PerUnitGates
from keras_dynamic.evaluation.evaluate import compiled_outcome, evaluate
from keras_dynamic.evaluation.probes import Probes, answers_of_accuracy, probe_units
from keras_dynamic.files import write_text
from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.dynamic_model import as_dynamic
from keras_dynamic.lite.benchmark import measure_parts
from keras_dynamic.messages import check_fraction, check_number
from keras_dynamic.models import DISCOUNTS, cascade, front_network
from keras_dynamic.ops import (
    answers,
    budget_thresholds,
    check_images,
    confidence,
    right_answers,
    stops,
)
from keras_dynamic.ops.risk import images_needed
from keras_dynamic.report import formatting
from keras_dynamic.report.frontier import error_of
from keras_dynamic.report.measure import labelled_pair
from keras_dynamic.report.plan_page import page_of
from keras_dynamic.transform import attach_exits

SHARES = (0.1, 0.2, 0.4)  # of the large network's MACs, of the front networks that are considered
MIDDLE = (0.2, 0.6)
_PAYS = 0.9  # of the cost: what saves less is not worth its complexity
_LEAST = 200  # inputs
_MACS = 2e12  # multiply-adds that the passes over the inputs may take in all: a minute or so
_BUDGETS = 16
_EXIT_FILTERS = 64


class Way(NamedTuple):
    """One way to make a network dynamic.

    Attributes:
        name: of the way, such as 'cascade, front network of 20 %'.
        points: expected [(MACs over the network's, milliseconds over the network's, accuracy), ...], rising.
        ceiling: (MACs over the network's, accuracy) of an oracle that knows which answers are right; None where there
            is none.
        overhead: time with everything running, over that of its static parts; None where it was not measured.
        least: (MACs, milliseconds) over the network's, the least for which its accuracy can be expected, but for
            max_loss; None if nowhere.
        because: why it does not pay; '' if it does.
        run: Python that makes it.
    """

    name: str
    points: list
    ceiling: tuple | None
    overhead: float | None
    least: tuple | None
    because: str
    run: str

    @property
    def verdict(self) -> str:
        """Whether it pays, and why if it does not, in a sentence."""
        name = f"{self.name[0].upper()}{self.name[1:]}"
        if self.because:
            return f"{name}: does not pay here, because {self.because}."
        macs, ms = (formatting.percent(each, 0) for each in self.least or (1.0, 1.0))
        return f"{name}: pays; at equal accuracy {macs} of the MACs and {ms} of the time are expected."


class Plan(NamedTuple):
    """What `plan` expects. Printed, it is a table.

    Attributes:
        accuracy: of the network on the validation inputs.
        macs: of the network.
        ms: of its .tflite, of one input, measured here on one thread.
        precision: of that .tflite.
        ways: list of Way, the cheapest at equal accuracy first.
        remarks: sentences about the network and the data.
        seconds: that the plan took.
        page: path of the HTML page, or None.
    """

    accuracy: float
    macs: int
    ms: float
    precision: str
    ways: list
    remarks: list
    seconds: float
    page: Path | None

    def accuracy_at(self, name, share) -> float:
        """Returns the accuracy that is expected of a way at so many MACs over the network's, between its points.

        Args:
            name: of the way.
            share: of the network's MACs.

        Raises:
            KeyError: if there is no such way.
        """
        points = {way.name: way.points for way in self.ways}[name]
        macs, _, accuracy = zip(*points, strict=True)
        return float(np.interp(share, macs, accuracy))

    def __str__(self):
        lines = [
            f"{formatting.percent(self.accuracy)} right, {formatting.millions(self.macs)} MACs, "
            f"{formatting.milliseconds(self.ms)} ({self.precision} .tflite, one thread)",
            "",
            formatting.table(_HEADER, [_row(way) for way in self.ways]),
            "",
            *(way.verdict for way in self.ways),
            "",
            *self.remarks,
        ]
        best = next((way for way in self.ways if not way.because), None)
        lines += ["", f"Run first ({best.name}):", "", best.run] if best else ["", "No way pays here."]
        return "\n".join(lines)


_HEADER = ("way", "MACs at equal accuracy", "time at equal accuracy", "oracle", "overhead", "pays")


def _row(way) -> list[str]:
    shares = [formatting.percent(each, 0) for each in way.least] if way.least else ["-", "-"]
    best = (
        "-"
        if way.ceiling is None
        else f"{formatting.percent(way.ceiling[1])} at {formatting.percent(way.ceiling[0], 0)}"
    )
    overhead = "-" if way.overhead is None else f"{way.overhead:.2f}"
    return [way.name, *shares, best, overhead, "no" if way.because else "yes"]


def plan(
    model,
    data,
    validation,
    folder=None,
    quantize=None,
    max_loss=0.005,
    exponent=None,
    exits: Sequence[str] | None = None,
    seed=0,
    verbose=1,
) -> Plan:
    """Estimates what each way of making a trained network dynamic would save, without training anything.

        print(kd.plan(model, (x_train, y_train), (x_validation, y_validation), folder="plan"))

    What is measured: the network's accuracy, MACs and times of its parts; what linear classifiers on the outputs of its
    units answer; how often each unit can be skipped without a change of the answer; the time of untrained front
    networks, exits and gates. What is assumed: that a network of a share s of the MACs, trained as well as this one,
    has 1 / s^exponent times its error, be it a front network or one whose units or channels are skipped; that a front
    network errs where this one answers late; that exits answer as well as linear classifiers.

    Args:
        model: trained static network: functional, sequential, or a DynamicModel that decides nothing; a classifier of
            two classes or more with one answer for each input.
        data: (inputs, labels) that it was trained on, of which up to 1,000 are used; None if they are not at hand.
        validation: (inputs, labels) that it was not trained on, at least 200.
        folder: gets plan.html; None writes no page.
        quantize: precision of the .tflite that is timed, as in lite.export.
        max_loss: of accuracy that counts as equal, in [0, 1).
        exponent: of the error's growth, see above; None for 0.36 - 0.6 times the network's error, from 0.1 to 1/3: of
            ResNets 1/3 was measured on CIFAR-10, where they err in 6 %, and 0.1 to 0.2 is usual for tasks on which
            every size of network errs often.
        exits: names of units after which exits may stand; None takes the best two of ten.
        seed: of the subset of the data.
        verbose: 0 prints no progress.

    Returns:
        Plan.

    Raises:
        ValueError: if the network decides something or is no such classifier, there are under 200 validation inputs, or
            an argument is out of range.
    """
    start = time.monotonic()
    say = print if verbose else (lambda *text, **options: None)
    max_loss = check_fraction("max_loss", max_loss)
    if exponent is not None:
        exponent = check_number("exponent", exponent, positive=True)
    model = as_dynamic(model)
    _check(model)
    x, y = _checked(model, validation)
    if data is not None:
        x_data, y_data = labelled_pair(data, "data")
        drawn = np.random.default_rng(seed).permutation(len(x_data))[:1000]
        y_data = right_answers(y_data, (len(x_data), *model.logits_shape[1:]), model.task)
        data = np.asarray(x_data)[drawn], y_data[drawn]
    names = [unit.name for unit in model.chain.units][:-1]
    if exits is not None and (isinstance(exits, str) or not exits or not set(exits) <= set(names)):
        raise ValueError(f"exits must be a list of units before the last, some of {names}, got {exits!r}.")
    rows = np.random.default_rng(seed).permutation(len(x))[: int(np.clip(_MACS / _macs(model), 300, 5000))]
    x, y = x[rows], y[rows]
    say(f"Times of parts, {len(x):,} validation inputs")
    network = _Network(model, x, quantize)
    probes = probe_units(model, x, y, after=exits)
    accuracy = float((probes.whole.argmax(-1) == y).mean())
    if exponent is None:
        exponent = float(np.clip(0.36 - 0.6 * (1 - accuracy), 0.1, 1 / 3))
    bench = _Bench(network, probes, y, accuracy, max_loss, exponent)
    ways = [*_cascades(bench, say), *_exits(bench, exits, say), *_skipping(bench, say)]
    ways.sort(key=lambda way: (bool(way.because), way.least[1] if way.least else 1.0))
    remarks = _remarks(bench, data)
    made = Plan(
        accuracy, network.macs, network.ms, quantize or "float32", ways, remarks, time.monotonic() - start, None
    )
    if folder is None:
        return made
    path = write_text(Path(folder) / "plan.html", page_of(made, len(x), _HEADER, [_row(way) for way in ways]))
    return made._replace(page=path, seconds=time.monotonic() - start)


def _check(model):
    """Raises a ValueError unless plan can say something about a model."""
    if not isinstance(model, DynamicModel) or model.decision_names or model.chain.exits:
        raise ValueError(
            f"a plan is made for a static network without exits, got {getattr(model, 'name', model)!r}; give the "
            "network as it was before it was made dynamic."
        )
    if model.task != "classes" or len(model.logits_shape) != 2 or model.classes < 2:
        raise ValueError(
            "a plan is made for classifiers of two classes or more with one answer for each input, got logits "
            f"{list(model.logits_shape)} for {model.task}; see docs/tasks.md for what works with other tasks."
        )


def _checked(model, validation):
    """Returns checked inputs and labels."""
    x, y = labelled_pair(validation, "validation")
    check_images(x, model.image_shape)
    if len(x) < _LEAST:
        raise ValueError(f"a plan takes at least {_LEAST} validation inputs, got {len(x)}; give more.")
    return np.asarray(x), right_answers(y, (len(x), *model.logits_shape[1:]), model.task)


def _macs(model) -> int:
    return model.cost_tree.total_macs


class _Network:
    """The network, its .tflite and the times of its parts."""

    def __init__(self, model, x, quantize):
        self.model, self.x, self.quantize = model, x[:_LEAST], quantize
        self.macs = _macs(model)
        self.file = self.export(model)
        self.ms = self.times({"network": self.file})["network"]
        self.parts = measure_parts(self.file, self.ms)

    def export(self, model) -> bytes:
        """Returns the .tflite of a model in the plan's precision."""
        return lite.export(model, self.quantize, self.x)

    def times(self, files) -> dict[str, float]:
        """Returns the milliseconds of .tflites, {name: bytes}, the median over inputs, all in turn."""
        runners = {name: lite.Interpreter(content) for name, content in files.items()}
        found: dict[str, list[float]] = {name: [] for name in files}
        begun, number = time.perf_counter(), 0
        while number < 60 and (number < 10 or time.perf_counter() - begun < 10):
            for name, runner in runners.items():
                runner.set(self.x[number % len(self.x)])
                runner.invoke()  # not timed: caches are the last file's
                before = time.perf_counter()
                runner.invoke()
                found[name].append(1e3 * (time.perf_counter() - before))
            number += 1
        return {name: float(np.median(values)) for name, values in found.items()}

    def skippable(self) -> list[str]:
        """Returns the names of the units that can be skipped."""
        return list(self.model.chain.skippable_names)

    def share_of_ms(self, names) -> float:
        """Returns the share of the time that some parts take."""
        return sum(self.parts.get(name, 0.0) for name in names) / self.ms


class _Bench(NamedTuple):
    """What all ways are judged with."""

    network: _Network
    probes: Probes
    y: np.ndarray
    accuracy: float
    max_loss: float
    exponent: float

    def accuracy_of(self, share) -> float:
        """Returns the accuracy that is expected of a network of a share of the MACs."""
        chance = 1 / self.probes.whole.shape[-1]
        return float(max(chance, 1 - (1 - self.accuracy) * share**-self.exponent))

    def risk(self) -> float:
        """Returns the risk of a promise that so many inputs are likely to show: it needs a sixth of them."""
        shown = [risk for risk in (0.01, 0.02, 0.03, 0.05) if 6 * images_needed(risk, 0.1) <= len(self.y)]
        return shown[0] if shown else 0.1

    def way(self, name, points, ceiling, overhead, run, because="") -> Way:
        """Returns a Way, with what follows from its points."""
        points = sorted(points)
        good = [(macs, ms) for macs, ms, accuracy in points if accuracy >= self.accuracy - self.max_loss]
        least = min(good, key=lambda each: each[1]) if good else None
        if not because:
            because = self._why_not(ceiling, overhead, least)
        return Way(name, points, ceiling, overhead, least, because, run)

    def _why_not(self, ceiling, overhead, least) -> str:
        """Returns why a way does not pay, or ''."""
        if ceiling is not None and ceiling[0] > _PAYS:
            return f"even an oracle would need {formatting.percent(ceiling[0], 0)} of the MACs"
        needs = (overhead or 1.0) * (least[1] if least else 1.0)
        if least is None or min(least) >= 1:
            return f"at less than its full cost it is expected to lose more than {100 * self.max_loss:.1f} points"
        if needs > _PAYS:
            return f"with its overhead it is expected to take {formatting.percent(needs, 0)} of the time"
        return ""


def _stopping(bench, logits, costs, discounts=(0.0,)):
    """Returns expected [(MACs, ms, accuracy)] over the network's, and the oracle's (MACs, accuracy).

    Thresholds, and the best of the discounts, are fitted on one half of the inputs and used on the other, and the other
    way round. logits are [stages, n, classes] over their temperatures; costs, [stages, 2], the MACs and milliseconds of
    an input that stops at each, over the network's; discounts are of the sums of a cascade, 0 for answers of exits.
    """
    costs, half = np.asarray(costs), np.arange(len(bench.y)) % 2 == 0
    families = [_answers(bench, logits, discount) for discount in discounts]
    points = []
    for budget in np.linspace(costs[0, 0], costs[-1, 0], _BUDGETS):
        at, right = np.zeros(len(half), int), np.zeros(len(half), bool)
        for fitted in (half, ~half):
            thresholds = [budget_thresholds(certain[fitted], costs[:, 0], budget) for certain, _ in families]
            accuracies = [
                _chosen(answered[fitted], stops(certain[fitted], each)).mean()
                for (certain, answered), each in zip(families, thresholds, strict=True)
            ]
            best = int(np.argmax(accuracies))
            certain, answered = families[best]
            at[~fitted] = stops(certain[~fitted], thresholds[best])
            right[~fitted] = _chosen(answered[~fitted], at[~fitted])
        points.append((*costs[at].mean(axis=0).tolist(), float(right.mean())))
    alone = (np.asarray(logits).argmax(-1) == bench.y).T
    first = np.where(alone.any(axis=1), alone.argmax(axis=1), 0)
    return points, (float(costs[first, 0].mean()), float(alone.any(axis=1).mean()))


def _answers(bench, logits, discount):
    """Returns the confidences [n, stages - 1] and whether answers are right [n, stages], of discounted sums."""
    sums = list(itertools.accumulate(logits, lambda before, each: discount * before + each))
    certain = np.stack([np.asarray(confidence(each, "max_probability")) for each in sums[:-1]], axis=1)
    return certain, (np.stack(sums).argmax(-1) == bench.y).T


def _chosen(answered, at) -> np.ndarray:
    """Returns [n] of [n, stages] at the stage at which each input stops."""
    return answered[np.arange(len(at)), at]


def _cascades(bench, say) -> list[Way]:
    """Returns cascades with a distilled front network of three sizes, and with a middle one too."""
    network, ways = bench.network, []
    shape, classes = network.model.image_shape[1:], network.model.classes
    fronts, because = {}, ""
    for share in sorted({*SHARES, *MIDDLE}):
        try:
            fronts[share] = front_network(shape, classes, share * network.macs, name=f"front{round(100 * share)}")
        except ValueError as error:  # the network is too small, or takes no images
            because = str(error).partition(";")[0]
    if not fronts:
        run = "front = kd.models.distil_front(model, x_train, y_train, network=your_small_network)"
        return [bench.way("cascade", [(1.0, 1.0, bench.accuracy)], None, None, run, because)]
    say("Times of front networks")
    files = {f"{share}": network.export(each) for share, each in fronts.items()}
    times = network.times({**files, "network": network.file})
    overhead = _cascade_overhead(network, fronts)
    choices: list[tuple[float, ...]] = [*((share,) for share in SHARES), MIDDLE]
    for shares in choices:
        if not set(shares) <= set(fronts):
            continue
        stages = [(_macs(fronts[each]) / network.macs, times[f"{each}"] / times["network"]) for each in shares]
        logits = [
            answers_of_accuracy(bench.probes, bench.y, bench.accuracy_of(macs), k) for k, (macs, _) in enumerate(stages)
        ]
        costs = np.cumsum([*stages, (1.0, 1.0)], axis=0)
        points, ceiling = _stopping(bench, [*logits, bench.probes.whole], costs, DISCOUNTS)
        percents = " and ".join(formatting.percent(each, 0) for each in shares)
        name = f"cascade, {'front network' if len(shares) == 1 else 'front and middle network'} of {percents}"
        names = "front" if len(shares) == 1 else "front, middle"
        asked: object = shares[0] if len(shares) == 1 else shares
        run = (
            f"{names} = kd.models.distil_front(model, x_train, y_train, share={asked})\n"
            f"cascade = kd.models.cascade([{names}, model])\n"
            "cascade.fit_temperatures(x_validation, y_validation)\n"
            f"kd.evaluation.calibrate(cascade, x_validation, y_validation, risk={bench.risk():g}, delta=0.1)"
        )
        ways.append(bench.way(name, points, ceiling, overhead, run))
    return ways


def _cascade_overhead(network, fronts) -> float:
    """Returns the time of a cascade in which everything runs over that of its networks."""
    front = fronts[min(fronts)]
    for weight in front.weights[-2:]:
        weight.assign(1e-3 * weight)  # of the dense layer: nearly the same probability for each class
    made = cascade([front, network.model])
    made.decider.set_thresholds([0.9])
    files = {"front": network.export(front), "network": network.file, "both": network.export(made)}
    found = network.times(files)
    return found["both"] / (found["front"] + found["network"])


def _exits(bench, after, say) -> list[Way]:
    """Returns the network with exits at the best places."""
    network, names = bench.network, bench.probes.after
    if not names:
        because = "the network has one unit, with no place for an exit in it"
        return [bench.way("exits", [(1.0, 1.0, bench.accuracy)], None, None, "", because)]
    say("Places of exits")
    try:
        attached = attach_exits(network.model, after=names, filters=_EXIT_FILTERS)
    except ValueError as error:
        return [bench.way("exits", [(1.0, 1.0, bench.accuracy)], None, None, "", str(error).rstrip("."))]
    heads = {
        part.name: part.total_macs for part in attached.cost_tree.children if part.name in attached.chain.exit_names
    }
    places = dict(zip(names, heads.values(), strict=True))
    if after is None:
        choices = [(name,) for name in names] + [(a, b) for k, a in enumerate(names) for b in names[k + 1 :]]
    else:
        choices = [tuple(sorted(after, key=names.index))]
    tried = []
    for chosen in choices:
        logits, costs = _of_exits(bench, chosen, places)
        tried.append((chosen, *_stopping(bench, logits, costs)))

    def quality(entry):
        points = entry[1]
        enough = [ms for _, ms, accuracy in points if accuracy >= bench.accuracy - bench.max_loss]
        return (-min(enough, default=2.0), np.mean([accuracy for _, _, accuracy in points]))

    chosen, points, ceiling = max(tried, key=quality)
    made = DynamicModel(attach_exits(network.model, after=list(chosen), filters=_EXIT_FILTERS).chain, Confidence())
    made.build(network.model.image_shape)
    made.decider.set_thresholds(np.full(len(chosen), 1.0, np.float32))
    found = network.times({"network": network.file, "exits": network.export(made)})
    heads_ms = sum(places[name] for name in chosen) / network.macs
    run = (
        f"network = kd.transform.attach_exits(model, after={list(chosen)})\n"
        "trained = kd.methods.IMTA(network.chain)  # compile and fit it\n"
        "model = kd.layers.DynamicModel(network.chain, kd.deciders.Confidence())"
    )
    name = f"exits after {' and '.join(chosen)}"
    return [bench.way(name, points, ceiling, found["exits"] / found["network"] / (1 + heads_ms), run)]


def _of_exits(bench, chosen, places):
    """Returns the logits and costs of the stages of a network with exits."""
    network = bench.network
    macs = {part.name: part.total_macs for part in network.model.cost_tree.children}
    order, costs, spent = list(macs), [], np.zeros(2)
    done = 0
    for name in (*chosen, None):
        end = len(order) if name is None else order.index(name) + 1
        for part in order[done:end]:
            spent = spent + [macs[part] / network.macs, network.parts.get(part, 0.0) / network.ms]
        if name is not None:
            spent = spent + places[name] / network.macs  # its time as that of the network's MACs
        done = end
        costs.append(spent)
    logits = [bench.probes.logits[bench.probes.after.index(name)] for name in chosen]
    return [*logits, bench.probes.whole], costs


def _skipping(bench, say) -> list[Way]:
    """Returns gates, and channels or pruning: networks of which a part runs."""
    network = bench.network
    names = network.skippable()
    if not names:
        because = "no unit of the network can be skipped: none has a shortcut around it"
        return [bench.way("gates", [(1.0, 1.0, bench.accuracy)], None, None, "", because)]
    parts = {part.name: part.total_macs / network.macs for part in network.model.cost_tree.children}
    always = 1 - sum(parts[name] for name in names), 1 - network.share_of_ms(names)
    points = []
    for run_share in np.linspace(0.2, 1, _BUDGETS):
        macs, ms = (fixed + (1 - fixed) * run_share for fixed in always)
        points.append((float(macs), float(ms), bench.accuracy_of(macs)))
    say(f"Which of {len(names)} units can be skipped")
    ceiling = _nested_ceiling(bench, names, parts)
    gated = DynamicModel(network.model.chain, PerUnitGates(open_probability=0.98))
    gated.build(network.model.image_shape)
    gated.decider.set_tau(0.01)
    found = network.times({"network": network.file, "gated": network.export(gated)})
    because = ""
    if always[1] > _PAYS:
        because = f"{formatting.percent(always[1], 0)} of the time is in parts that always run"
    gates = bench.way(
        "gates on units",
        points,
        ceiling,
        found["gated"] / found["network"],
        "gated = kd.methods.ActivationGating(model, kd.deciders.PerUnitGates(), target=0.6)  # compile and fit it",
        because,
    )
    pruned = bench.way(
        "pruned channels, the same for every input",
        points,
        None,
        1.0,
        "grouped = kd.transform.group_channels(model, 8)\n"
        "gates = kd.deciders.ChannelGates(data_dependent=False)\n"
        "pruned = kd.methods.ActivationGating(grouped, gates, target=0.6)  # compile and fit it",
        because,
    )
    return [gates, pruned]


def _nested_ceiling(bench, names, parts) -> tuple:
    """Returns (MACs over the network's, accuracy) of an oracle that skips the least useful units, as many as it may."""
    network = bench.network
    skipper = DynamicModel(network.model.chain, PerUnitGates())
    skipper.build(network.model.image_shape)
    outcome = compiled_outcome(skipper)
    count = int(np.clip(_MACS / (2 * len(names) * network.macs), 50, len(network.x)))
    x, y = network.x[:count], bench.y[:count]

    def right(skipped):
        fixed = {name: np.full(count, float(name not in skipped), np.float32) for name in names}
        return answers(evaluate(skipper, x, decisions=fixed, outcome=outcome).logits, "classes") == y

    useful = {name: float(right([name]).mean()) for name in names}
    order = sorted(names, key=lambda name: -useful[name])
    found = np.stack([right(order[:skipped]) for skipped in range(len(names), -1, -1)], axis=1)
    cost = np.array([1 - sum(parts[name] for name in order[:skipped]) for skipped in range(len(names), -1, -1)])
    first = np.where(found.any(axis=1), found.argmax(axis=1), 0)
    return float(cost[first].mean()), float(found.any(axis=1).mean())


def _remarks(bench, data) -> list[str]:
    """Returns sentences on what the figures rest on, and what stands in the way."""
    network, found = bench.network, []
    name, ms = max(network.parts.items(), key=lambda each: each[1])
    if ms > 0.99 * network.ms:
        found.append(
            "The network is one part: only cascades, which run it whole or not, and smaller networks save any of it."
        )
    elif ms > network.ms / 3:
        found.append(
            f"{formatting.milliseconds(ms)} of {formatting.milliseconds(network.ms)} are spent in one part, {name!r}: "
            "decisions about other parts save nothing of it."
        )
    if data is not None:
        seen = evaluate(network.model, *data).accuracy
        if 1 - seen < 0.3 * (1 - bench.accuracy):
            found.append(
                f"The network is {formatting.percent(seen, 1)} right on its training data, and "
                f"{formatting.percent(bench.accuracy, 1)} on these: hardly an input is hard in training, from which "
                "gates and policies could learn when more is needed; expect less of them than the table says."
            )
    chance = max(np.bincount(bench.y)) / len(bench.y)
    if bench.accuracy < chance + 0.05:
        found.append(
            f"The network is hardly better than always answering the largest class ({formatting.percent(chance, 1)}): "
            "nothing that follows means anything before it is trained."
        )
    error = error_of(bench.accuracy, len(bench.y))
    found.append(
        f"Expected, not measured: errors grow as the share of MACs to the power of -{bench.exponent:.2f}; the standard "
        f"error on {len(bench.y):,} inputs is {100 * error:.1f} points. Equal means {100 * bench.max_loss:.1f} points "
        "less at most."
    )
    if error > bench.max_loss:
        enough = int(np.ceil(len(bench.y) * (error / bench.max_loss) ** 2))
        found.append(
            "That error is larger than what counts as equal, so that other inputs may turn a verdict over: see by how "
            f"much each way is off, or give some {enough:,} held-out inputs."
        )
    return found
