"""Measures trained networks: accuracy, MACs, static twin, exits, budgets, guarantees, modes of inference."""

from keras_dynamic.evaluation.budgets import (
    OperatingPoint,
    budget_figures,
    exit_figures,
    fit_budget,
    fit_usage,
    limit_figures,
    tau_sweep,
)
from keras_dynamic.evaluation.evaluate import (
    Evaluation,
    StaticTwin,
    accuracy_shuffled,
    compiled_outcome,
    evaluate,
    greedy_patterns,
    pattern_macs,
    static_twin,
)
from keras_dynamic.evaluation.exits import ExitAnswers, exit_answers, exit_macs
from keras_dynamic.evaluation.gradients import gradient_magnitudes, gradient_variances
from keras_dynamic.evaluation.guarantees import Calibrated, StopMonitor, calibrate
from keras_dynamic.evaluation.inference import ensemble, ensemble_of, inference_figures, stochastic

__all__ = [
    "Calibrated",
    "Evaluation",
    "ExitAnswers",
    "OperatingPoint",
    "StaticTwin",
    "StopMonitor",
    "accuracy_shuffled",
    "budget_figures",
    "calibrate",
    "compiled_outcome",
    "ensemble",
    "ensemble_of",
    "evaluate",
    "exit_answers",
    "exit_figures",
    "exit_macs",
    "fit_budget",
    "fit_usage",
    "gradient_magnitudes",
    "gradient_variances",
    "greedy_patterns",
    "inference_figures",
    "limit_figures",
    "pattern_macs",
    "static_twin",
    "stochastic",
    "tau_sweep",
]
