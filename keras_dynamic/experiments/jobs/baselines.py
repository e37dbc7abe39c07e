"""BlockDrop beside fixed patterns of as many units (BlockDrop, Table 1)."""

import math
import os
import time
from pathlib import Path

from keras_dynamic.callbacks import reestimate_batch_norm
from keras_dynamic.deciders import Pattern
from keras_dynamic.evaluation import evaluate, greedy_patterns
from keras_dynamic.evaluation.evaluate import kept_weights
from keras_dynamic.experiments import Run, RunRecord, train
from keras_dynamic.experiments.jobs.evaluate_static import data_text, describe
from keras_dynamic.experiments.recipes.fixed import fixed_decider
from keras_dynamic.experiments.records import write_record
from keras_dynamic.files import read_json, write_json
from keras_dynamic.layers import DynamicModel
from keras_dynamic.report.formatting import millions, percent


def _blockdrop_run(config, stage, data_dir):
    """Reads the config's run of BlockDrop's 'curriculum' or 'finetuning', which must be on its network and data.

    Returns:
        (row of the table: units are those that run on average, macs with the policy's; epochs of its training).
    """
    folder = Path(os.path.expandvars(config.runs[stage]))
    command = f"python train_main.py --config={config.runs.config}_{stage} --workdir={config.runs[stage]}"
    command += f" --data_dir={data_dir}" if data_dir else ""
    figures, settings = (_read(folder / name, command) for name in ("figures.json", "config.json"))
    missing = [name for name in ("accuracy", "units_mean", "macs_mean") if name not in figures]
    if missing:
        raise ValueError(f"{folder / 'figures.json'} lacks {', '.join(missing)}; measure them with `{command}`.")
    method = settings["method"]
    if (method["name"], method.get("stage")) != ("blockdrop", stage):
        came = f"{method['name']} {method.get('stage', '')}".strip()
        raise ValueError(f"runs.{stage} must be a run of BlockDrop's {stage}, but {folder} is one of {came}.")
    wanted, other = _subject(config), _subject(settings)
    if wanted != other:
        raise ValueError(f"runs.{stage} must be a run on {wanted}, but {folder} is one on {other}; give another.")
    units = figures["units_mean"] + len(method["always"])
    row = {"accuracy": figures["accuracy"], "units": units, "macs": figures["macs_mean"], "seconds": 0.0}
    return row, settings["epochs"]


def _subject(settings):
    """Returns what a run is on: the network and the data."""
    network = {name: settings["network"][name] for name in ("depth", "num_classes", "weights")}
    return {**network, "data": settings["data"]["name"]}


def _read(path, command):
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}, which a BlockDrop run writes at its end; first run `{command}`.")
    return read_json(path, f"write it again with `{command}`")


STAGES = {"pretrained": "curriculum", "finetuned": "finetuning"}  # the patterns' weights: BlockDrop's stage beside them
PATTERNS = {"first_k": "FirstK", "random_k": "RandomK", "distribute_k": "DistributeK", "greedy": "Greedy mask"}
ROWS = {**PATTERNS, "blockdrop": "BlockDrop", "full": "Full network"}


def baselines(config, workdir, data_dir=None, record=None) -> dict:
    """Judges fixed patterns of as many units as BlockDrop runs on average, rounded up, on all test images.

    Prints a table. The folder gets figures.json, greedy/ with what the greedy search found, and for each finetuned
    pattern a run's folder such as first_k_9/; by these the same command goes on where it stopped.

    The config is configs/blockdrop.py:resnet32_cpu_baselines.

    Returns:
        For each of STAGES {'k': units of the patterns, 'epochs': of the patterns' finetuning, 'epochs_blockdrop', and
        for each of ROWS {'accuracy', 'units', 'macs', 'seconds'}}, units and macs per image on average; a pattern's row
        also has 'runs', the names of its units. BlockDrop and the full network, measured elsewhere, took no seconds.

    Raises:
        ValueError: if BlockDrop's runs are not on this config's network and data, or the config does not fit together.
        FileNotFoundError: if BlockDrop's runs, the data or the weights are not there.

    Source: BlockDrop, section 4.2 and Table 1.
    """
    runs = {stage: _blockdrop_run(config, trained, data_dir) for stage, trained in STAGES.items()}
    run = Run.load(config, data_dir=data_dir)
    splits, network, workdir = run.splits, run.reference, Path(workdir)
    counts = {stage: math.ceil(row["units"]) for stage, (row, _) in runs.items()}
    greedy, searched = _greedy(config, network, splits, workdir / "greedy", counts.values())
    full = _row(evaluate(network, *splits.test), network.chain.skippable_names) | {"seconds": 0.0}
    batches = run.reestimation_batches() if config.reestimate_pretrained else None
    found = {}
    for stage, k in counts.items():
        rows = {}
        for name in PATTERNS:
            print(f"{PATTERNS[name]} of {k} units, {stage}", flush=True)
            chosen = _with_pattern(config, name, k, greedy)
            if stage == "pretrained":
                rows[name] = _pretrained(chosen, network, splits, batches)
            else:
                rows[name] = _finetuned(chosen, workdir / f"{name}_{k}", data_dir)
        rows["greedy"]["seconds"] += searched
        rows["blockdrop"], theirs = runs[stage]
        epochs = config.epochs if stage == "finetuned" else 0
        found[stage] = {"k": k, "epochs": epochs, "epochs_blockdrop": theirs, **rows, "full": full}
    write_json(workdir / "figures.json", found)
    last = found["finetuned"]
    epochs = f"epochs of finetuning: {last['epochs']}, of BlockDrop's: {last['epochs_blockdrop']}"
    print(f"\n{table(found, f'{_network(config)}; {data_text(config, splits)}; {epochs}')}")
    if record:
        _write_records(config, splits, found, record)
    return found


def table(found, title) -> str:
    """Returns Table 1 of what baselines returns, as text: each row without finetuning and, beside that, with it."""
    lines = [["", "accuracy", "units", "MACs", "finetuned", "units", "MACs"]]
    for name, label in ROWS.items():
        line = [label]
        for stage in STAGES:
            row = found[stage][name]
            units = f"{row['units']:.1f}" if name == "blockdrop" else str(row["units"])
            line += [percent(row["accuracy"]), units, millions(row["macs"])]
        lines.append(line)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines]
    return "\n".join([title, "", *texts])


def _greedy(config, network, splits, folder, counts):
    """Searches patterns on held-out images down to the smallest of these numbers of units, or reads what was found.

    Returns:
        ({number: names of the units that run}, seconds that the search took).
    """
    count = config.evaluation.twin_images
    settings = {"network": config.network.to_dict(), "data": config.data.to_dict(), "images": count}
    record = RunRecord(folder, settings)
    found = dict(record.figures)
    if not all(str(number) in found for number in counts):
        print(f"Searching the greedy masks down to {min(counts)} units", flush=True)
        with record.running():
            whole = _fixed(network, Pattern(dict.fromkeys(network.chain.skippable_names, True)))
            for pattern in greedy_patterns(whole, tuple(part[:count] for part in splits.held_out)):
                units = [name for name, run in pattern.items() if run]
                found[str(len(units))] = units
                if len(units) <= min(counts):
                    break
            record.finish(found)
    return {int(number): tuple(units) for number, units in found.items()}, _seconds(folder)


def _with_pattern(config, name, k, greedy):
    chosen = config.copy_and_resolve_references()
    pattern, units = ("units", greedy[k]) if name == "greedy" else (name, ())
    chosen.method.update({"pattern": pattern, "k": k, "units": units})
    with chosen.unlocked():  # which has nothing to do with the training of a pattern
        del chosen.runs, chosen.reestimate_pretrained
    return chosen


def _pretrained(config, network, splits, batches):
    """Returns the row of a pattern on the weights of the network, which stay as they are."""
    start = time.monotonic()
    model = _fixed(network, fixed_decider(config.method, network.chain, config.seed))
    with kept_weights(network.chain):
        if batches is not None:
            reestimate_batch_norm(model, batches)
        row = _row(evaluate(model, *splits.test), _running(model))
    return row | {"seconds": time.monotonic() - start}


def _finetuned(config, folder, data_dir):
    """Returns the row of a pattern that is finetuned in a folder, or was."""
    run = Run.load(config, folder, data_dir)
    model = train(run)
    start = time.monotonic()
    row = _row(evaluate(model, *run.splits.test), _running(model))
    return row | {"seconds": _seconds(folder) + time.monotonic() - start}


def _fixed(network, decider):
    model = DynamicModel(network.chain, decider)
    model.build(network.image_shape)
    return model


def _running(model):
    """Returns the names of the units that a fixed decider runs."""
    return [name for name, run in model.decider.pattern(model.decider.names).items() if run]


def _row(evaluation, units):
    macs = float(evaluation.macs.mean())
    return {"accuracy": evaluation.accuracy, "units": len(units), "macs": macs, "runs": list(units)}


def _seconds(folder):
    return read_json(folder / "run.json", "train the run again")["seconds"]


def _network(config):
    origin = describe(config.network) if config.network.weights else "random weights"
    return f"ResNet-{config.network.depth} ({origin})"


def _write_records(config, splits, found, prefix):
    """Writes a record of the greedy mask without finetuning and one with it; the other rows are further figures."""
    for stage, rows in found.items():
        greedy, units = rows["greedy"], len(rows["full"]["runs"])
        figures = {name: greedy[name] for name in ("accuracy", "macs", "units")}
        for name in (name for name in ROWS if name != "greedy"):
            figures |= {f"{figure}_{name}": rows[name][figure] for figure in ("accuracy", "macs")}
        figures |= {f"units_{name}": rows[name]["units"] for name in ("blockdrop", "full")}
        figures["margin_greedy"] = rows["blockdrop"]["accuracy"] - greedy["accuracy"]
        figures |= {name: rows[name] for name in ("epochs", "epochs_blockdrop")}
        network = f"Greedy static mask, {rows['k']} of {units} units of {_network(config)}, {stage}"
        seconds, targets = sum(rows[name]["seconds"] for name in ROWS), config.targets.to_dict()
        data, settings = data_text(config, splits), config.to_dict()
        write_record(f"{prefix}-{stage}", "blockdrop", network, data, settings, figures, targets, seconds)
