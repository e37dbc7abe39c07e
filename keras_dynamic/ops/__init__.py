"""Pure functions: estimators, selection, confidence (keras.ops), thresholds and temperatures (NumPy)."""

from keras_dynamic.ops.bracket import Spent, bracket, within_budget
from keras_dynamic.ops.budgets import BUDGETS, budgets_between, judged_stops, kept_budgets
from keras_dynamic.ops.confidence import MEASURES, confidence, entropy_confidence, margin, max_probability
from keras_dynamic.ops.gradient_scale import scale_gradient
from keras_dynamic.ops.guideline import expected_drop_ratio, softmax_variance
from keras_dynamic.ops.gumbel import binary_gumbel, logistic_noise
from keras_dynamic.ops.labels import check_classes, check_images, class_numbers
from keras_dynamic.ops.log_odds import log_odds
from keras_dynamic.ops.mask_channels import mask_channels
from keras_dynamic.ops.mean_over_batch import mean_over_batch
from keras_dynamic.ops.policy_gradient import (
    bernoulli_entropy,
    bernoulli_log_probability,
    bounded,
    penalty_for_usage,
    policy_gradient_loss,
    self_critical_advantage,
    usage_reward,
)
from keras_dynamic.ops.predicted_class import predicted_class
from keras_dynamic.ops.quota import budget_thresholds, quota_thresholds, quotas
from keras_dynamic.ops.seed_generator import SeedGenerator
from keras_dynamic.ops.select import blend, select
from keras_dynamic.ops.straight_through import ESTIMATORS, round_straight_through
from keras_dynamic.ops.temperature import fit_temperature
from keras_dynamic.ops.thresholds import Fitted, fit_thresholds, quantile_thresholds, stops

__all__ = [
    "BUDGETS",
    "ESTIMATORS",
    "MEASURES",
    "Fitted",
    "SeedGenerator",
    "Spent",
    "bernoulli_entropy",
    "bernoulli_log_probability",
    "binary_gumbel",
    "blend",
    "bounded",
    "bracket",
    "budget_thresholds",
    "budgets_between",
    "check_classes",
    "check_images",
    "class_numbers",
    "confidence",
    "entropy_confidence",
    "expected_drop_ratio",
    "fit_temperature",
    "fit_thresholds",
    "judged_stops",
    "kept_budgets",
    "log_odds",
    "logistic_noise",
    "margin",
    "mask_channels",
    "max_probability",
    "mean_over_batch",
    "penalty_for_usage",
    "policy_gradient_loss",
    "predicted_class",
    "quantile_thresholds",
    "quota_thresholds",
    "quotas",
    "round_straight_through",
    "scale_gradient",
    "select",
    "self_critical_advantage",
    "softmax_variance",
    "stops",
    "usage_reward",
    "within_budget",
]
