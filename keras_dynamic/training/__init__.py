"""Training runs: from a config to weights, a run record and figures."""

from keras_dynamic.training.activation_history import ActivationHistory, read_activation_history
from keras_dynamic.training.budget_figures import budget_figures
from keras_dynamic.training.build import build_method, build_network, build_optimizer
from keras_dynamic.training.checkpoint import Checkpoint, load_weights, save
from keras_dynamic.training.compact import compact
from keras_dynamic.training.evaluate import (
    Evaluation,
    StaticTwin,
    accuracy_shuffled,
    compiled_outcome,
    evaluate,
    greedy_patterns,
    pattern_macs,
    static_twin,
)
from keras_dynamic.training.exit_answers import ExitAnswers, exit_answers, exit_macs
from keras_dynamic.training.exit_figures import exit_figures
from keras_dynamic.training.exit_history import exit_history
from keras_dynamic.training.fit_budget import OperatingPoint, fit_budget
from keras_dynamic.training.fit_usage import fit_usage
from keras_dynamic.training.gradient_magnitude import gradient_magnitudes
from keras_dynamic.training.gradient_variance import gradient_variances
from keras_dynamic.training.inference_figures import inference_figures
from keras_dynamic.training.materialize import materialize
from keras_dynamic.training.prune import prune_dead_units
from keras_dynamic.training.rank_gates import decision_importance, rank_gates
from keras_dynamic.training.run_record import RunRecord
from keras_dynamic.training.serve import Served, serve, static_network, stopping_places
from keras_dynamic.training.settle import settle
from keras_dynamic.training.splits import Splits, load_splits
from keras_dynamic.training.tau_sweep import tau_sweep
from keras_dynamic.training.train import build, reestimation_batches, train

__all__ = [
    "ActivationHistory",
    "Checkpoint",
    "Evaluation",
    "ExitAnswers",
    "OperatingPoint",
    "RunRecord",
    "Served",
    "Splits",
    "StaticTwin",
    "accuracy_shuffled",
    "budget_figures",
    "build",
    "build_method",
    "build_network",
    "build_optimizer",
    "compact",
    "compiled_outcome",
    "decision_importance",
    "evaluate",
    "exit_answers",
    "exit_figures",
    "exit_history",
    "exit_macs",
    "fit_budget",
    "fit_usage",
    "gradient_magnitudes",
    "gradient_variances",
    "greedy_patterns",
    "inference_figures",
    "load_splits",
    "load_weights",
    "materialize",
    "pattern_macs",
    "prune_dead_units",
    "rank_gates",
    "read_activation_history",
    "reestimation_batches",
    "save",
    "serve",
    "settle",
    "static_network",
    "static_twin",
    "stopping_places",
    "tau_sweep",
    "train",
]
