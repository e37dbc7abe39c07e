"""Activation rates and exit accuracies, epoch by epoch."""

import csv
import io
from pathlib import Path

import keras

from keras_dynamic.evaluation.evaluate import compiled_outcome, evaluate
from keras_dynamic.files import write_text
from keras_dynamic.metrics import activation_rates

_EPOCHS = "epochs"


class ActivationHistory(keras.callbacks.Callback):
    """Writes the activation rate of each decision on some images after each epoch, as inference decides.

    The file is a table of comma-separated values, a row for each epoch, replaced as a whole; a resumed training goes on
    with it. Batch norm has its moving averages, which are not those of a re-estimation afterwards.

    Args:
        path: of the file.
        x: held-out images, [n, height, width, channels]; no labels are needed.

    Source: Herrmann et al., section S4.5 and figures 24 to 27.
    """

    def __init__(self, path, x):
        super().__init__()
        self.path, self.x = Path(path), x
        self._outcome = None

    def on_epoch_end(self, epoch, logs=None):
        """Adds the epoch's rates, in place of what an interrupted run wrote of it and of later ones."""
        if self._outcome is None:
            self._outcome = compiled_outcome(self.model)
        found = evaluate(self.model, self.x, outcome=self._outcome)
        rows = [row for row in _rows(self.path) if int(row[_EPOCHS]) <= epoch]
        rates = {name: f"{rate:.4f}" for name, rate in activation_rates(found.decisions).items()}
        rows.append({_EPOCHS: str(epoch + 1), **rates})
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[-1]))
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())


def read_activation_history(path) -> dict:
    """Reads the file that ActivationHistory wrote.

    Returns:
        {'epochs': [epochs trained, ...], 'rates': {decision name: [share of images that run it, ...]}}; both empty if
        there is no such file.
    """
    rows = _rows(Path(path))
    names = [name for name in rows[0] if name != _EPOCHS] if rows else []
    return {
        "epochs": [int(row[_EPOCHS]) for row in rows],
        "rates": {name: [float(row[name]) for row in rows] for name in names},
    }


def _rows(path):
    """Returns {column: text} for each row of the file, none if there is no such file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def exit_history(epochs, exit_names) -> dict:
    """Reads the accuracy of each exit on held-out images from a training's metrics.

    Args:
        epochs: metrics of each epoch, [{name: number}, ...], as RunRecord.epochs has them: 'val_NAME_accuracy' for
            each exit and 'val_accuracy' for the head.
        exit_names: of the network, in order; those without such a metric are left out.

    Returns:
        {'epochs': [epochs trained, ...], 'accuracies': {exit: [fraction, ...]}}, the chain's head as the last; both
        empty if no exit has a metric.

    Source: IMTA, figure 6.
    """
    epochs = list(epochs)
    metrics = {**{name: f"val_{name}_accuracy" for name in exit_names}, "head": "val_accuracy"}
    found = {name: metric for name, metric in metrics.items() if epochs and all(metric in each for each in epochs)}
    if not found.keys() - {"head"}:
        return {"epochs": [], "accuracies": {}}
    accuracies = {name: [float(each[metric]) for each in epochs] for name, metric in found.items()}
    return {"epochs": list(range(1, len(epochs) + 1)), "accuracies": accuracies}
