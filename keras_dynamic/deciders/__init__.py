"""Deciders: for unit k and its input, run or skip?"""

from keras_dynamic.deciders.bernoulli_policy import BernoulliPolicy
from keras_dynamic.deciders.binary_mask_network import BinaryMaskNetwork
from keras_dynamic.deciders.channel_gates import ChannelGates
from keras_dynamic.deciders.confidence import Confidence
from keras_dynamic.deciders.exit_gates import ExitGates
from keras_dynamic.deciders.fixed import DistributeK, FirstK, Fixed, Never, Pattern, RandomK
from keras_dynamic.deciders.gumbel_gates import GumbelGates
from keras_dynamic.deciders.joined import Joined
from keras_dynamic.deciders.patience import Patience
from keras_dynamic.deciders.per_unit_gates import PerUnitGates
from keras_dynamic.deciders.policy import Policy
from keras_dynamic.deciders.sequential_policy import SequentialPolicy
from keras_dynamic.deciders.stochastic import Stochastic
from keras_dynamic.deciders.threshold import ThresholdDecider
from keras_dynamic.layers import Always, Decider

__all__ = [
    "Always",
    "BernoulliPolicy",
    "BinaryMaskNetwork",
    "ChannelGates",
    "Confidence",
    "Decider",
    "DistributeK",
    "ExitGates",
    "FirstK",
    "Fixed",
    "GumbelGates",
    "Joined",
    "Never",
    "Patience",
    "Pattern",
    "PerUnitGates",
    "Policy",
    "RandomK",
    "SequentialPolicy",
    "Stochastic",
    "ThresholdDecider",
]
