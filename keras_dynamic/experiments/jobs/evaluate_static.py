"""Plain networks and cascades of them, judged on a whole test set: the yardsticks of every report."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np

from keras_dynamic.cost import given, tree
from keras_dynamic.evaluation.evaluate import evaluate
from keras_dynamic.evaluation.guarantees import StageAnswers, laxest, stage_answers
from keras_dynamic.experiments.networks import build_network
from keras_dynamic.experiments.records import write_record
from keras_dynamic.experiments.splits import load_splits
from keras_dynamic.metrics import distinct_paths, shuffled
from keras_dynamic.models import cascade
from keras_dynamic.ops import class_numbers, fit_thresholds, stops


def evaluate_static(config, workdir=None, data_dir=None, record=None) -> dict:
    """Judges each of the config's networks on the test images.

    The config has data, networks (a tuple of sections as config.network) and seed.

    Returns:
        {network name: figures}.
    """
    splits = load_splits(config.data, data_dir)
    found = {}
    for section in config.networks:
        start = time.monotonic()
        network = build_network(section)
        result = evaluate(network, *splits.test)
        name = f"ResNet-{section.depth}"
        found[name] = {"accuracy": result.accuracy, "macs_mean": network.cost_tree.total_macs}
        print(f"{name}: {result.accuracy:.2%} at {network.cost_tree.total_macs / 1e6:.1f} M MACs", flush=True)
        if record:
            identity, label = f"{record}-resnet{section.depth}", f"{name} ({describe(section)})"
            text, settings = data_text(config, splits), {**section.to_dict(), "seed": config.seed}
            figures = found[name] | {"macs": found[name]["macs_mean"]}
            write_record(identity, "static", label, text, settings, figures, {}, time.monotonic() - start)
    return found


def judge_cascade(config, workdir=None, data_dir=None, record=None) -> dict:
    """Makes a cascade of the config's networks, fits its thresholds on the held-out images and judges it.

    The config has data, networks, seed, and cascade: quantiles (label-free) or macs (a budget), and temperatures,
    True to fit them.

    Returns:
        figures.
    """
    start = time.monotonic()
    splits = load_splits(config.data, data_dir)
    networks = [build_network(section) for section in config.networks]
    model = cascade(networks)
    if config.cascade.temperatures:
        print(f"temperatures {model.fit_temperatures(*splits.held_out)}")
    if config.cascade.quantiles:
        model.fit_thresholds(splits.held_out[0], quantiles=list(config.cascade.quantiles))
    else:
        model.fit_thresholds(*splits.held_out, macs=config.cascade.macs)
    figures = judge_stages(model, *splits.test) | {"macs_static": networks[-1].cost_tree.total_macs}
    print(
        f"{figures['accuracy']:.2%} at {figures['macs_mean'] / 1e6:.1f} M mean MACs, {figures['distinct_paths']} paths"
    )
    if record:
        label = "; ".join(f"ResNet-{section.depth} ({describe(section)})" for section in config.networks)
        text, targets = data_text(config, splits), config.targets.to_dict()
        write_record(record, "cascade", label, text, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


def guarantee(config, workdir=None, data_dir=None, record=None) -> dict:
    """Judges promises about the error of a cascade of the config's networks over many draws of images.

    All test images together stand for the images that there are; those that a promise is made on are drawn from them,
    with replacement, so that the true risk is known.

    The config has data, networks, seed, targets, and guarantee: risk, delta, images of a draw, draws, temperatures and
    discount.

    Returns:
        figures: broken_share, the share of draws in which the true excess is over the risk; macs_mean, over the draws;
        macs_least, of the cheapest thresholds that meet the risk on all images; macs_over_least; excess_mean.
    """
    start = time.monotonic()
    splits = load_splits(config.data, data_dir)
    asked = config.guarantee
    networks = [build_network(section) for section in config.networks]
    model = cascade(networks, temperatures=list(asked.temperatures) or None, discount=asked.discount)
    x, y = splits.test
    y = class_numbers(y, model.classes, len(x))
    stages, rng = stage_answers(model, x), np.random.default_rng(config.seed)
    right, rows = stages.predictions == y[:, None], np.arange(len(x))
    reference = (stages.whole == y).mean()
    found = []
    for _ in range(asked.draws):
        drawn = rng.integers(0, len(x), asked.images)
        some = StageAnswers(*(each[drawn] for each in stages))
        path = np.arange(asked.images) < asked.images // 10
        kept, _ = laxest(some.candidates(path), some.whole, y[drawn], ~path, asked.risk, asked.delta)
        level = np.inf if kept is None else kept[0]
        at = stops(stages.certain, np.full(stages.certain.shape[1], level, np.float32))
        found.append((reference - right[rows, at].mean(), stages.spent[rows, at].mean()))
    excess, macs = np.array(found).T
    met = np.column_stack([right, np.full(len(x), reference - asked.risk)])
    least = fit_thresholds(stages.certain, met, stages.spent).spent
    figures = {
        "broken_share": float((excess > asked.risk).mean()),
        "excess_mean": float(excess.mean()),
        "macs_mean": float(macs.mean()),
        "macs_least": least,
        "macs_over_least": float(macs.mean() / least),
    }
    print(" ".join(f"{name} {value:.5g}" for name, value in figures.items()), flush=True)
    if record:
        label = "; ".join(f"ResNet-{section.depth} ({describe(section)})" for section in config.networks)
        text = f"{data_text(config, splits)}, {asked.draws:,} draws of {asked.images:,}"
        targets = config.targets.to_dict()
        write_record(record, "cascade", label, text, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


def judge_stages(model, x, y) -> dict:
    """Judges a cascade from its networks' own logits: each runs once on each image, and all else is sums and stops.

    Args:
        model: models.Cascade with thresholds.
        x: test images, [n, height, width, channels].
        y: class numbers [n], or one-hot labels [n, classes].

    Returns:
        accuracy, macs_mean, macs_std, distinct_paths, accuracy_static_twin, margin_static_twin, accuracy_shuffled and
        images: what evaluate, static_twin and accuracy_shuffled give, in a fraction of the time.
    """
    sums, certain, _, _ = model.stages(x)
    at, rows = stops(certain, model.thresholds), np.arange(len(x))
    right = np.stack(sums).argmax(-1) == class_numbers(y, model.classes, len(x))
    decisions = {name: (at > stage).astype(np.float32) for stage, name in enumerate(model.decision_names)}
    macs = given(model.cost_tree, decisions)
    prefixes = np.cumsum([tree(network).total_macs for network in model.networks])
    accuracy, twin = right[at, rows].mean(), np.interp(macs.mean(), prefixes, right.mean(axis=1))
    others = [right[shuffled({"stop": at}, seed)["stop"], rows].mean() for seed in range(5)]
    return {
        "accuracy": float(accuracy),
        "macs_mean": float(macs.mean()),
        "macs_std": float(macs.std()),
        "distinct_paths": distinct_paths(decisions),
        "accuracy_static_twin": float(twin),
        "margin_static_twin": float(accuracy - twin),
        "accuracy_shuffled": float(np.mean(others)),
        "images": len(x),
    }


def describe(section) -> str:
    """Returns which weights a network has: the zoo's name, or file, checksum and training."""
    if section.weights.startswith("zoo:"):
        return section.weights.removeprefix("zoo:")
    path = Path(os.path.expandvars(section.weights))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return f"{path.name}, SHA-256 {digest}..." + (f", {section.training}" if "training" in section else "")


def data_text(config, splits) -> str:
    """Returns what rows that were judged on the same images have in common."""
    return f"{config.data.name}, {len(splits.test[0]):,} test images"
