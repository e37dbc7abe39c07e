"""Trains what a config describes and judges it on the whole test set."""

import time

from keras_dynamic import zoo
from keras_dynamic.callbacks import reestimate_batch_norm
from keras_dynamic.evaluation import evaluate, fit_budget, fit_usage
from keras_dynamic.evaluation.cascade_frontier import cascade_frontier
from keras_dynamic.experiments.checkpoint import save
from keras_dynamic.experiments.history import exit_history, read_activation_history
from keras_dynamic.experiments.jobs.evaluate_static import data_text, describe
from keras_dynamic.experiments.records import facts, training_seconds, write_record
from keras_dynamic.experiments.run import Run
from keras_dynamic.experiments.settings import check_evaluation
from keras_dynamic.experiments.strategy import devices
from keras_dynamic.experiments.train import HISTORY, train
from keras_dynamic.files import write_json
from keras_dynamic.report import frontier, write_report
from keras_dynamic.report.formatting import millions
from keras_dynamic.report.measure import keras_figures, per_image, plain_figures
from keras_dynamic.transform import freeze_decisions, strip_gates


def train_and_evaluate(config, workdir, data_dir=None, record=None) -> dict:
    """Trains, or goes on, and measures what came of it; after the end of the training the same command only measures.

    Prints a short table. The folder gets what experiments.train puts there, figures.json, report.json, report.html and
    pictures/, fitted.keras if the config freezes decisions that nearly all held-out images share, or fits usage or a
    budget of MACs on those, and stripped.keras, the smaller network that frozen channel gates leave, if it asks
    for that.

    Returns:
        {name: figure}, named as in report.json; 'seconds' are those of the training, of the runs that it started from
        as far as their folders are there, and of the measurement. Workers that are not the chief measure nothing.
    """
    check_evaluation(config)
    tolerance = config.evaluation.get("freeze")
    networks = [zoo.load(name) for name in config.evaluation.static]
    used = devices(config.distribute)
    run = used.together(lambda: Run.load(config, workdir, data_dir))
    train(run)
    if not used.chief:
        return {}
    start, splits, workdir = time.monotonic(), run.splits, run.record.workdir
    if tolerance:
        run.model = freeze_decisions(run.model, splits.held_out[0], tolerance)
    if _fit(run) or tolerance:
        save(run.model, workdir / "fitted.keras", optimizer=False)
    few = splits._replace(held_out=tuple(part[: config.evaluation.twin_images] for part in splits.held_out))
    figures, evaluation = keras_figures(run.model, few, run.macs_static, run.reestimation_batches())
    figures["macs_share"] = figures["macs_mean"] / run.macs_static
    if tolerance:
        figures["decisions_frozen"] = len(run.model.decider.frozen)
    figures |= run.recipe.measure(run, evaluation)
    figures["activation_history"] = read_activation_history(workdir / HISTORY)
    exits = exit_history(run.record.epochs, run.model.chain.exit_names)
    if exits["epochs"]:
        figures["exit_history"] = exits
    if config.evaluation.get("strip_gates"):
        smaller = strip_gates(run.model, splits.held_out[0])
        save(smaller, workdir / "stripped.keras", optimizer=False)
        figures["accuracy_stripped"] = evaluate(smaller, *splits.test).accuracy
        figures["macs_stripped"] = smaller.cost_tree.total_macs
    plain, static = plain_figures(networks, splits)
    points = cascade_frontier(plain, splits.held_out[1], splits.test[1]) if len(plain) > 1 else None
    figures |= frontier.margins(figures, static, points)
    figures["seconds"] = training_seconds(workdir) + time.monotonic() - start
    method, word = run.recipe.names(config.method)
    origin = f"from {describe(config.network)}" if config.network.weights else "from scratch"
    label = "".join(f", {words}" for words in (config.label, "frozen" if tolerance else "") if words)
    network, images = f"{run.title} ({origin}){label}", data_text(config, splits)
    lines, system = {"static": static, "cascade_frontier": points}, word.lower()
    report = {"systems": {system: figures}, **lines, **facts(images, config.seed)}
    page = write_report(report, {system: per_image(evaluation, splits)}, workdir)
    figures = figures | lines
    write_json(workdir / "figures.json", figures)
    print(f"\n{table(figures, f'{network}; {images}')}\n\n{page}")
    if record:
        targets = config.targets.to_dict()
        write_record(record, method, network, images, config.to_dict(), figures, targets, figures["seconds"])
    return figures


def _fit(run) -> bool:
    """Sets tau and thresholds for the share of units or the budget of the config; returns whether it has one."""
    x, y = run.splits.held_out
    usage, macs = run.config.evaluation.usage, run.config.evaluation.get("macs")
    if not usage and not macs:
        return False

    def fit():
        if usage:
            tau = fit_usage(run.model, x, usage)
            print(f"tau {tau:.4f} for {usage:.0%} of the units on the held-out images")
            return tau
        found = fit_budget(run.model, x, y, macs=macs)
        print(f"{millions(found.spent)} of {millions(macs)} MACs on the held-out images")
        return found.tau

    if fit() is not None and run.config.reestimate_images:
        reestimate_batch_norm(run.model, run.reestimation_batches())  # more or less runs than in the training
        fit()  # and so gates see other inputs
    return True


def table(figures, title) -> str:
    """Returns a few lines on train_and_evaluate's figures: accuracy, MACs, what decisions are worth, their rates."""
    share = figures["macs_mean"] / figures["macs_static"]
    rows = [
        ("accuracy", f"{figures['accuracy']:.2%}"),
        *([("top-5 accuracy", f"{figures['accuracy_top5']:.2%}")] if "accuracy_top5" in figures else []),
        ("MACs", f"{millions(figures['macs_mean'])} of {millions(figures['macs_static'])}, {share:.3f}"),
        ("spread", f"{millions(figures['macs_std'])} standard deviation, {figures['distinct_paths']} paths"),
        ("units run", f"{figures['units_mean']:.2f}, {figures['units_std']:.2f} standard deviation"),
        ("other images' decisions", f"{figures['accuracy_shuffled']:.2%}"),
        ("static twin", f"{figures['accuracy_static_twin']:.2%}"),
    ]
    for name in (name for name in frontier.MARGINS if name in figures):
        rows.append((f"above {name.removeprefix('margin_').replace('_', ' ')}", f"{100 * figures[name]:+.2f} points"))
    if "rank_correlation" in figures:
        rows.append(("difficulty and units", f"{figures['rank_correlation']:+.3f} rank correlation"))
    rows += [(name, f"runs {rate:.3f}") for name, rate in figures["activation_rates"].items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name.ljust(width)}  {text}" for name, text in rows)])
