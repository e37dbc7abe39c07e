"""What a network with exits gives as a .tflite: the time to each exit, accuracy and time under budgets, memory."""

import os
import time
from pathlib import Path
from typing import Any

import keras

from keras_dynamic import lite, zoo
from keras_dynamic.jobs.plain import data_text
from keras_dynamic.jobs.record import facts, flat, write_record
from keras_dynamic.jobs.system import PRECISIONS
from keras_dynamic.layers import DynamicModel
from keras_dynamic.lite.benchmark import answers, checked_labels
from keras_dynamic.lite.exit_benchmark import measure_budgets, measure_exits
from keras_dynamic.models import until_exit
from keras_dynamic.report import style
from keras_dynamic.report.exit_times import exits_against_milliseconds
from keras_dynamic.report.files import write_atomically
from keras_dynamic.training.run_record import write_json
from keras_dynamic.training.splits import load_splits


def exit_latency(config, workdir, data_dir=None, record=None) -> dict:
    """Exports a network with exits, its thresholds an input, and each exit as a static model, and measures them.

    The folder gets the .tflite files, figures.json, and a picture of accuracy against milliseconds for each precision.

    Args:
        config: with model ('zoo:NAME' or the path of a .keras file, in which environment variables are expanded),
            data, budgets (how many), micro (whether to measure memory on TensorFlow Lite Micro), targets and seed.
        workdir: folder of the run.
        data_dir: folder of the data set.
        record: the record's id; None writes none.

    Returns:
        {'float32', 'int8': {'exits', their names; what measure_exits and measure_budgets give; 'accuracies' of the
        static models, 'latency_ratio_max', 'arena_bytes', 'arena_static_bytes', 'arena_ratio'}}.

    Raises:
        ValueError: if the model does not decide its exits alone, by confidence.
        FileNotFoundError: if model or data are not there.
    """
    start = time.time()
    model, splits, folder = _load(config.model), load_splits(config.data, data_dir), Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        precision: _measured(model, quantize, splits, config, folder / precision)
        for precision, quantize in PRECISIONS.items()
    }
    write_json(folder / "figures.json", figures | facts(data_text(config, splits), config.seed))
    print(_table(figures))
    if record:
        numbers = flat({precision: _named(found) for precision, found in figures.items()})
        name, targets = f"{model.name} as TFLite, exits alone decided", config.targets.to_dict()
        settings = config.to_dict()
        write_record(
            record, "serving", name, data_text(config, splits), settings, numbers, targets, time.time() - start
        )
    return figures


def _load(spec):
    """Returns the network that a config names."""
    if spec.startswith("zoo:"):
        return zoo.load(spec.removeprefix("zoo:"))
    path = Path(os.path.expandvars(spec))
    if not path.is_file():
        raise FileNotFoundError(f"model names {str(path)!r}, which is no file; train it, or name one of the zoo.")
    return keras.models.load_model(path, compile=False)


def _measured(model, quantize, splits, config, path) -> dict:
    """Exports and measures in one precision; files and picture begin with the path's name."""
    calibration, (x, y) = splits.held_out[0], splits.test
    outputs = ("logits", "decisions", "macs")
    dynamic = lite.export(model, quantize, calibration, outputs, thresholds="input")
    static = [until_exit(model, name) for name in model.chain.exit_names] + [DynamicModel(model.chain, name="head")]
    alone = [lite.export(each, quantize, calibration) for each in static]
    write_atomically(path.with_name(f"dynamic_{path.name}.tflite"), dynamic)
    for each, content in zip(static, alone, strict=True):
        write_atomically(path.with_name(f"{each.name}_{path.name}.tflite"), content)
    timed = lite.with_outputs(dynamic, ["logits", "decisions"])
    figures: dict[str, Any] = {"exits": [*model.chain.exit_names, "head"]}
    figures |= measure_exits(timed, alone, x, seed=config.seed)
    figures["latency_ratio_max"] = max(figures["exit_latency_ratio"])
    figures |= measure_budgets(timed, alone[-1], x, y, config.budgets, seed=config.seed)
    labels = checked_labels(timed, x, y)
    early = [float((answers(each, x).logits.argmax(-1) == labels).mean()) for each in alone[:-1]]
    figures["accuracies"] = [*early, figures["accuracy_static"]]
    if config.micro:
        whole, last = (lite.MicroInterpreter(each).arena_bytes() for each in (timed, alone[-1]))
        figures |= {"arena_bytes": whole, "arena_static_bytes": last, "arena_ratio": whole / last}
    write_atomically(path.with_suffix(".png"), style.png(exits_against_milliseconds(figures)))
    return figures


def _named(found) -> dict:
    """Returns one precision's figures as a record has them: a name and a number each, exits and budgets from 1."""
    numbers = {name: value for name, value in found.items() if isinstance(value, (int, float))}
    for name in ("exit_ms", "exit_static_ms", "exit_latency_ratio"):
        what = name.removeprefix("exit_")
        numbers |= {f"exit{k}_{what}": value for k, value in enumerate(found[name], 1)}
    numbers |= {f"accuracy_exit{k}": value for k, value in enumerate(found["accuracies"], 1)}
    for k, row in enumerate(found["budgets"], 1):
        numbers |= {f"macs_budget{k}": row["budget"], f"kept_budget{k}": row["kept"]}
        numbers |= {f"accuracy_budget{k}": row["accuracy"], f"budget{k}_ms": row["ms"]}
    return numbers


def _table(figures) -> str:
    """Returns the figures as text: exits, then budgets."""
    lines = []
    for precision, found in figures.items():
        lines.append(f"{precision}: exit, ms, ms as a static model, ratio, accuracy")
        columns = ("exits", "exit_ms", "exit_static_ms", "exit_latency_ratio", "accuracies")
        for name, ms, alone, ratio, accuracy in zip(*(found[column] for column in columns), strict=True):
            lines.append(f"  {name}  {ms:.3f}  {alone:.3f}  {ratio:.3f}  {accuracy:.2%}")
        lines.append(f"{precision}: budget, MACs spent over it, ms, accuracy")
        for row in found["budgets"]:
            lines.append(f"  {row['budget'] / 1e6:.2f} M  {row['kept']:.3f}  {row['ms']:.3f}  {row['accuracy']:.2%}")
        lines.append(f"  to the end always: {found['static_ms']:.3f} ms, {found['accuracy_static']:.2%}")
        if "arena_ratio" in found:
            lines.append(f"  memory on TensorFlow Lite Micro {found['arena_ratio']:.3f} of the static model's")
    return "\n".join(lines)
