"""Deciders: for unit k and its input, run or skip?"""

from keras_dynamic.deciders.confidence import Confidence
from keras_dynamic.deciders.fixed import DistributeK, FirstK, Fixed, Never, Pattern, RandomK
from keras_dynamic.deciders.per_unit_gates import PerUnitGates
from keras_dynamic.deciders.stochastic import Stochastic
from keras_dynamic.layers import Always, Decider

__all__ = [
    "Always",
    "Confidence",
    "Decider",
    "DistributeK",
    "FirstK",
    "Fixed",
    "Never",
    "Pattern",
    "PerUnitGates",
    "RandomK",
    "Stochastic",
]
