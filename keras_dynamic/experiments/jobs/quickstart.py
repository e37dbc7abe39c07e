"""The main job: two dynamic systems from the shipped networks and images, exported, verified, measured, reported."""

import time
from pathlib import Path

from keras_dynamic import zoo
from keras_dynamic.deciders import Confidence
from keras_dynamic.evaluation import exit_figures, fit_budget
from keras_dynamic.experiments import Run, save, train
from keras_dynamic.experiments.records import facts, flat, write_record
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import cascade
from keras_dynamic.report import short_table, write_report
from keras_dynamic.report.formatting import millions
from keras_dynamic.report.measure import measure_systems
from keras_dynamic.transform import collaborate


def quickstart(config, workdir, data_dir=None, record=None):
    """Runs the main job.

    A cascade of the plain networks gets its thresholds on held-out images, for a share of the largest network's MACs;
    an exit of the largest network is trained, and stops images for a budget. Both are evaluated, exported static and
    dynamic, in float32 and int8, verified and benchmarked. The folder gets models/, report.json, report.html and
    pictures/, and training/, which makes the same command go on where it stopped.

    The config is configs/quickstart.py.

    Returns:
        The report, as in report.json.
    """
    start = time.monotonic()
    workdir = Path(workdir)
    _say("Training an exit of the largest network")
    run = Run.load(config, workdir / "training", data_dir)
    splits = run.splits
    exits = _stopping(train(run), config, splits.held_out[0])
    _say("Fitting the cascade's thresholds")
    networks = [zoo.load(name) for name in config.networks]
    large = networks[-1]
    cascaded = cascade(networks)
    fitted = cascaded.fit_thresholds(*splits.held_out, macs=config.cascade_share * large.cost_tree.total_macs)
    thresholds = ", ".join(f"{value:.4f}" for value in fitted.thresholds)
    print(f"thresholds {thresholds}: {fitted.spent / 1e6:.1f} M MACs on the held-out images")
    systems, models = {"cascade": cascaded, "exits": exits}, workdir / "models"

    report, images = measure_systems(systems, networks, large, splits, models, _say)
    report |= facts(f"{config.data.name}: {len(splits.test[0]):,} test images", config.seed)
    for name, model in systems.items():
        if model.chain.exit_names:
            report["systems"][name] |= exit_figures(model, splits.held_out, splits.test)
        save(model, models / f"{name}.keras", optimizer=False)
    report["seconds"] = round(time.monotonic() - start, 1)
    page = write_report(report, images, workdir)
    print(f"\n{short_table(report)}\n\n{page} ({report['seconds']:.0f} s)")
    if record:
        _write_records(report, config, record)
    return report


def _stopping(trained, config, held_out):
    """Returns the trained network with its exits' logits joined, and with thresholds for the config's budget."""
    joined = collaborate(trained, share=config.collaboration_share)
    model = DynamicModel(joined.chain, Confidence(config.method.confidence), name="exits")
    model.build(joined.image_shape)
    point = fit_budget(model, held_out, macs=config.evaluation.macs)
    print(f"{millions(point.spent)} of {millions(config.evaluation.macs)} MACs on the held-out images")
    return model


def _write_records(report, config, prefix):
    """Writes one record per system, with what the targets bound: differences and shares of the static reference."""
    networks = {"cascade": " -> ".join(report["static"]), "exits": f"{list(report['static'])[-1]} with an exit"}
    accuracy = list(report["static"].values())[-1]["accuracy"]
    for name, method in (("cascade", "cascade"), ("exits", "exits")):
        system = report["systems"][name]
        figures = flat(system) | {
            "margin_large": system["accuracy"] - accuracy,
            "macs_share": system["macs_mean"] / system["macs_static"],
            "margin_int8": system["int8"]["accuracy"] - system["float32"]["accuracy"],
            "macs_change_int8": abs(system["int8"]["macs_mean"] / system["float32"]["macs_mean"] - 1.0),
            "minutes": report["seconds"] / 60.0,
        }
        identity, data, targets = f"{prefix}-{name}", report["data"], config.targets[name].to_dict()
        write_record(identity, method, networks[name], data, config.to_dict(), figures, targets, report["seconds"])


def _say(text):
    print(f"\n{text}", flush=True)
