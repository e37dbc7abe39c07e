"""Deciders: for unit k and its input, run or skip?"""

from keras_dynamic.deciders.combined import CombinedDecider
from keras_dynamic.deciders.confidence import Confidence, Patience
from keras_dynamic.deciders.fixed import DistributeK, FirstK, Fixed, Never, Pattern, RandomK, Stochastic
from keras_dynamic.deciders.gates import ChannelGates, ExitGates, GumbelGates, PerUnitGates
from keras_dynamic.deciders.halting import UntilHalted
from keras_dynamic.deciders.multi_grained import ChannelCNNGates, RecurrentGates
from keras_dynamic.deciders.policies import BernoulliPolicy, BinaryMaskNetwork, Policy, SequentialPolicy
from keras_dynamic.deciders.threshold import ThresholdDecider

__all__ = [
    "BernoulliPolicy",
    "BinaryMaskNetwork",
    "ChannelCNNGates",
    "ChannelGates",
    "CombinedDecider",
    "Confidence",
    "DistributeK",
    "ExitGates",
    "FirstK",
    "Fixed",
    "GumbelGates",
    "Never",
    "Patience",
    "Pattern",
    "PerUnitGates",
    "Policy",
    "RandomK",
    "RecurrentGates",
    "SequentialPolicy",
    "Stochastic",
    "ThresholdDecider",
    "UntilHalted",
]
