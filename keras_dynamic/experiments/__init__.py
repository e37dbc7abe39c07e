"""Experiments from configs: training, evaluation, records and result pages. The library does not import it."""

from keras_dynamic.experiments.build import build_method, build_network, build_optimizer
from keras_dynamic.experiments.checkpoint import Checkpoint, load_weights, save
from keras_dynamic.experiments.history import ActivationHistory, exit_history, read_activation_history
from keras_dynamic.experiments.records import Record
from keras_dynamic.experiments.run_record import RunRecord
from keras_dynamic.experiments.splits import Splits, load_splits
from keras_dynamic.experiments.train import build, reestimation_batches, train

__all__ = [
    "ActivationHistory",
    "Checkpoint",
    "Record",
    "RunRecord",
    "Splits",
    "build",
    "build_method",
    "build_network",
    "build_optimizer",
    "exit_history",
    "load_splits",
    "load_weights",
    "read_activation_history",
    "reestimation_batches",
    "save",
    "train",
]
