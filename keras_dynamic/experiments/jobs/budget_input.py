"""Whether files keep a budget that comes with each image: on LiteRT, and on TensorFlow Lite Micro."""

import time
from pathlib import Path

import numpy as np

from keras_dynamic import lite
from keras_dynamic.deciders import CombinedDecider, Confidence
from keras_dynamic.experiments.jobs.evaluate_static import data_text
from keras_dynamic.experiments.jobs.latency import load_model
from keras_dynamic.experiments.records import write_record
from keras_dynamic.experiments.splits import load_splits
from keras_dynamic.files import write_bytes
from keras_dynamic.layers import DynamicModel
from keras_dynamic.lite.metadata import macs_under, metadata_needed
from keras_dynamic.report.measure import PRECISIONS


def budget_input(config, workdir, data_dir=None, record=None) -> dict:
    """Exports a network with exits, its budget an input, and holds every image's stop and MACs against its own path.

    The path is what the image runs under no budget; the last exit that it may reach follows from it by the costs in the
    file's metadata. The folder gets the .tflite files.

    The config has model (the path of a .keras file that decides units or groups, not exits), data, limits in MACs,
    budgets (how many, from what the first exit costs to everything), micro_images, targets and seed.

    Returns:
        {figure: number}, for each precision: over and elsewhere, how often an image exceeded a budget or stopped at
        another exit than the last that it could afford, of runs; accuracy_limitK and macs_max_limitK; and
        micro_over, micro_elsewhere likewise, and micro_unequal, how often TensorFlow Lite Micro's logits or decisions
        are not those of LiteRT's reference kernels.
    """
    start, trained, splits = time.monotonic(), load_model(config.model), load_splits(config.data, data_dir)
    model = DynamicModel(trained.chain, CombinedDecider([trained.decider, Confidence()]), name=trained.name)
    model.build(trained.image_shape)
    x, y = splits.test
    figures: dict[str, float] = {}
    for precision, quantize in PRECISIONS.items():
        content = lite.export(model, quantize, splits.held_out[0], ("logits", "decisions", "macs"), budget="input")
        write_bytes(Path(workdir) / f"budget_{precision}.tflite", content)
        found = _kept(content, x, y, list(config.limits), config.budgets)
        found |= _kept_on_micro(content, x[: config.micro_images], config.budgets)
        figures |= {f"{name}_{precision}": value for name, value in found.items()}
    print("\n".join(f"{name} {value:.6g}" for name, value in figures.items()), flush=True)
    if record:
        name, data = f"{model.name} as TFLite, its budget an input", data_text(config, splits)
        targets = config.targets.to_dict()
        write_record(record, "ddi", name, data, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


class _File:
    """A file's runs: where images stop, and where they might have."""

    def __init__(self, content, runner, images):
        self.metadata, self.runner, self.images = metadata_needed(content), runner, images
        self.names, self.unit = self.metadata["decisions"], self.metadata["macs_unit"]
        self.exits = [name for name in self.names if name in self.metadata["exits"]]
        whole = self.run(None)["decisions"]
        self.path = {name: whole[:, k] for k, name in enumerate(self.names)}
        everything = macs_under(self.metadata["cost"], dict.fromkeys(self.names, 1))
        self.ends = self.metadata["budget"]["least"], everything

    def run(self, budget, raw=False):
        found = [self.runner.run(image, raw=raw, budget=budget) for image in self.images]
        return {name: np.concatenate([each[name] for each in found]) for name in found[0]}

    def stops(self, found):
        return found["decisions"][:, [self.names.index(name) for name in self.exits]].sum(axis=1)

    def allowed(self, budget):
        """Returns the number of the last exit that each image may reach."""
        going, at = np.ones(len(self.images), bool), np.zeros(len(self.images), int)
        for stop, name in enumerate(self.exits, 1):
            place = self.names.index(name)  # what comes after this exit counts as if it ran
            known = {each: self.path[each] if k < place else 1 for k, each in enumerate(self.names)}
            known |= {each: int(k < stop) for k, each in enumerate(self.exits)}
            going = going & (macs_under(self.metadata["cost"], known) <= budget)
            at += going
        return at

    def faults(self, budget, found):
        """Returns how many images are over a budget, and how many stop at another exit than the last allowed."""
        over = (found["macs"].ravel() * self.unit > budget).sum()
        return np.array([over, (self.stops(found) != self.allowed(budget)).sum()])


def _kept(content, x, y, limits, budgets) -> dict:
    file, faults, figures = _File(content, lite.Interpreter(content), x), np.zeros(2, int), {}
    for budget in np.linspace(*file.ends, budgets):
        faults += file.faults(budget, file.run(budget))
    for k, limit in enumerate(limits, 1):
        found = file.run(limit)
        faults += file.faults(limit, found)
        figures[f"accuracy_limit{k}"] = float((found["logits"].argmax(-1) == np.ravel(y)).mean())
        figures[f"macs_max_limit{k}"] = int(found["macs"].max()) * file.unit
    return {"over": int(faults[0]), "elsewhere": int(faults[1]), "runs": len(x) * (budgets + len(limits)), **figures}


def _kept_on_micro(content, x, budgets) -> dict:
    micro, reference = lite.MicroInterpreter(content), lite.Interpreter(content, kernels="reference")
    file, other = _File(content, micro, x), _File(content, reference, x)
    faults, unequal = np.zeros(2, int), 0
    for budget in np.linspace(*file.ends, budgets):
        found, wanted = file.run(budget, raw=True), other.run(budget, raw=True)
        faults += file.faults(budget, found)
        different = [(found[name] != wanted[name]).reshape(len(x), -1).any(axis=1) for name in ("logits", "decisions")]
        unequal += int(np.any(different, axis=0).sum())
    over, elsewhere = map(int, faults)
    return {"micro_over": over, "micro_elsewhere": elsewhere, "micro_unequal": unequal, "micro_runs": len(x) * budgets}
