"""Experiments from configs: training, evaluation, records and result pages. The library does not import it."""

from keras_dynamic.experiments.checkpoint import Checkpoint, load_weights, save
from keras_dynamic.experiments.history import ActivationHistory, exit_history, read_activation_history
from keras_dynamic.experiments.networks import build_network
from keras_dynamic.experiments.records import Record
from keras_dynamic.experiments.run import Run
from keras_dynamic.experiments.run_record import RunRecord
from keras_dynamic.experiments.splits import Splits, load_splits
from keras_dynamic.experiments.train import train

__all__ = [
    "ActivationHistory",
    "Checkpoint",
    "Record",
    "Run",
    "RunRecord",
    "Splits",
    "build_network",
    "exit_history",
    "load_splits",
    "load_weights",
    "read_activation_history",
    "save",
    "train",
]
