"""Neural networks that decide, per input, how much of themselves to run, for Keras 3 and TFLite."""

import importlib

# Imported at once, so that keras.models.load_model finds the classes of saved models.
from keras_dynamic import cost, deciders, layers, methods, models, ops

__version__ = "0.2.0"

_ON_DEMAND = (
    "callbacks",
    "compress",
    "data",
    "evaluation",
    "experiments",
    "lite",
    "losses",
    "metrics",
    "report",
    "serving",
    "transform",
    "zoo",
)

__all__ = ["cost", "deciders", "layers", "methods", "models", "ops", "plan", *_ON_DEMAND]


def __getattr__(name):
    """Imports the heavier packages when they are first used."""
    if name in _ON_DEMAND:
        return importlib.import_module(f"keras_dynamic.{name}")
    if name == "plan":
        return importlib.import_module("keras_dynamic.report.plan").plan
    raise AttributeError(f"module 'keras_dynamic' has no attribute {name!r}")
