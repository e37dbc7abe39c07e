"""Plain networks and cascades of them, judged on a whole test set: the yardsticks of every report."""

import hashlib
import os
import time
from pathlib import Path

from keras_dynamic import zoo
from keras_dynamic.jobs.record import write_record
from keras_dynamic.models import cascade
from keras_dynamic.training.build import build_network
from keras_dynamic.training.evaluate import accuracy_shuffled, compiled_outcome, evaluate, static_twin
from keras_dynamic.training.train import load_splits


def plain(config, data_dir=None, record=None) -> dict:
    """Judges each of the config's networks on the test images.

    Args:
        config: with data, networks (a tuple of sections as config.network) and seed.
        data_dir: folder of the data set.
        record: prefix of the records' ids, one record per network; None writes none.

    Returns:
        {network name: figures}.
    """
    splits = load_splits(config.data, data_dir)
    found = {}
    for section in config.networks:
        start = time.time()
        network = build_network(section)
        result = evaluate(network, *splits.test)
        name = f"ResNet-{section.depth}"
        found[name] = {"accuracy": result.accuracy, "macs_mean": network.cost_tree.total_macs}
        print(f"{name}: {result.accuracy:.2%} at {network.cost_tree.total_macs / 1e6:.1f} M MACs", flush=True)
        if record:
            label, text = f"{name} ({describe(section)})", data_text(config, splits)
            figures, settings = (
                found[name] | {"macs": found[name]["macs_mean"]},
                {**section.to_dict(), "seed": config.seed},
            )
            write_record(
                f"{record}-resnet{section.depth}", "static", label, text, settings, figures, {}, time.time() - start
            )
    return found


def judge_cascade(config, data_dir=None, record=None) -> dict:
    """Makes a cascade of the config's networks, fits its thresholds on the held-out images and judges it.

    Args:
        config: with data, networks, seed, and cascade: quantiles (label-free) or macs (a budget), and temperatures,
            True to fit them.
        data_dir: folder of the data set.
        record: the record's id; None writes none.

    Returns:
        figures.
    """
    start = time.time()
    splits = load_splits(config.data, data_dir)
    networks = [build_network(section) for section in config.networks]
    model = cascade(networks)
    if config.cascade.temperatures:
        print(f"temperatures {model.fit_temperatures(*splits.held_out)}")
    if config.cascade.quantiles:
        model.fit_thresholds(splits.held_out[0], quantiles=list(config.cascade.quantiles))
    else:
        model.fit_thresholds(*splits.held_out, macs=config.cascade.macs)
    outcome = compiled_outcome(model)
    x, y = splits.test
    result = evaluate(model, x, y, outcome=outcome)
    twin = static_twin(model, splits.held_out, splits.test, float(result.macs.mean()), outcome=outcome)
    figures = result.figures() | {
        "macs_static": networks[-1].cost_tree.total_macs,
        "accuracy_static_twin": twin.accuracy,
        "margin_static_twin": result.accuracy - twin.accuracy,
        "accuracy_shuffled": accuracy_shuffled(model, x, y, result.decisions, outcome),
        "images": len(result.labels),
    }
    print(
        f"{figures['accuracy']:.2%} at {figures['macs_mean'] / 1e6:.1f} M mean MACs, {figures['distinct_paths']} paths"
    )
    if record:
        label = "; ".join(f"ResNet-{section.depth} ({describe(section)})" for section in config.networks)
        settings = config.to_dict()
        write_record(
            record,
            "cascade",
            label,
            data_text(config, splits),
            settings,
            figures,
            config.targets.to_dict(),
            time.time() - start,
        )
    return figures


def describe(section) -> str:
    """Returns which weights a network has: the zoo's name, or file, checksum and training."""
    if section.weights.startswith("zoo:"):
        return zoo.describe(section.weights.removeprefix("zoo:"))["training"]
    path = Path(os.path.expandvars(section.weights))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return (
        f"{path.name}, SHA-256 {digest}..., {section.training}"
        if "training" in section
        else f"{path.name}, SHA-256 {digest}..."
    )


def data_text(config, splits) -> str:
    """Returns the words by which rows on the same images know each other."""
    return f"{config.data.name}, {len(splits.test[0]):,} test images"
