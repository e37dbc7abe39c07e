"""Training runs: from a config to weights, a run record and figures."""

from keras_dynamic.training.build import build_method, build_network
from keras_dynamic.training.evaluate import Evaluation, compiled_outcome, evaluate, static_twin
from keras_dynamic.training.run_record import RunRecord
from keras_dynamic.training.train import train

__all__ = [
    "Evaluation",
    "RunRecord",
    "build_method",
    "build_network",
    "compiled_outcome",
    "evaluate",
    "static_twin",
    "train",
]
