"""Trains what a config describes and judges it on the whole test set."""

import json
import time
from pathlib import Path

from keras_dynamic import zoo
from keras_dynamic.jobs.plain import data_text, describe
from keras_dynamic.jobs.record import write_record
from keras_dynamic.jobs.system import keras_figures, plain_figures
from keras_dynamic.report import frontier
from keras_dynamic.training import build_network, reestimation_batches, train
from keras_dynamic.training.cascade_frontier import cascade_frontier
from keras_dynamic.training.run_record import write_json


def train_and_evaluate(config, workdir, data_dir=None, record=None) -> dict:
    """Trains, or goes on, and measures what came of it; after the end of the training the same command only measures.

    Prints a short table. The folder gets what training.train puts there, and figures.json.

    Args:
        config: ml_collections ConfigDict, see configs/.
        workdir: folder of the run.
        data_dir: folder of the data set, None for sets that ship or lie in the usual place.
        record: id of the record to write to results/; None writes none.

    Returns:
        {name: figure}, named as in report.json.

    Raises:
        ValueError: if the config does not fit together, or the folder holds another config's run.
        FileNotFoundError: if the data or weights that the config names are not there.
    """
    networks = [zoo.load(name) for name in config.evaluation.static]
    model, splits = train(config, workdir, data_dir)
    start = time.time()
    few = splits._replace(held_out=tuple(part[: config.evaluation.twin_images] for part in splits.held_out))
    macs_static = build_network(config.network).cost_tree.total_macs
    figures, _ = keras_figures(model, few, macs_static, reestimation_batches(config, splits))
    plain, static = plain_figures(networks, splits)
    points = cascade_frontier(plain, splits.held_out[1], splits.test[1]) if len(plain) > 1 else None
    figures |= frontier.margins(figures, static, points)
    trained = json.loads((Path(workdir) / "run.json").read_text(encoding="utf-8"))
    figures["seconds"] = trained["seconds"] + time.time() - start
    figures |= {"static": static, "cascade_frontier": points}
    write_json(Path(workdir) / "figures.json", figures)
    network, images = f"Gated ResNet-{config.network.depth} ({_origin(config)})", data_text(config, splits)
    print(f"\n{table(figures, f'{network}; {images}')}")
    if record:
        targets = config.targets.to_dict()
        write_record(record, "gating", network, images, config.to_dict(), figures, targets, figures["seconds"])
    return figures


def _origin(config):
    return f"from {describe(config.network)}" if config.network.weights else "from scratch"


def table(figures, title) -> str:
    """Returns a few lines on a gated network.

    Args:
        figures: as train_and_evaluate returns them.
        title: first line.

    Returns:
        Text: accuracy, MACs, what its decisions are worth, and its activation rates.
    """
    share = figures["macs_mean"] / figures["macs_static"]
    rows = [
        ("accuracy", f"{figures['accuracy']:.2%}"),
        ("MACs", f"{_millions(figures['macs_mean'])} of {_millions(figures['macs_static'])}, {share:.3f}"),
        ("spread", f"{_millions(figures['macs_std'])} standard deviation, {figures['distinct_paths']} paths"),
        ("other images' decisions", f"{figures['accuracy_shuffled']:.2%}"),
        ("static twin", f"{figures['accuracy_static_twin']:.2%}"),
    ]
    for name in frontier.MARGINS:
        if name in figures:
            rows.append(
                (f"above {name.removeprefix('margin_').replace('_', ' ')}", f"{100 * figures[name]:+.2f} points")
            )
    rows += [(name, f"runs {rate:.3f}") for name, rate in figures["activation_rates"].items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name.ljust(width)}  {text}" for name, text in rows)])


def _millions(macs):
    return f"{macs / 1e6:.1f} M"
