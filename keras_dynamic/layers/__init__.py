"""Chains, units, gates and the model that puts a chain and a decider together."""

from keras_dynamic.layers.batch_norm import BatchNormalization
from keras_dynamic.layers.chain import Chain
from keras_dynamic.layers.channel_groups import ChannelGroups
from keras_dynamic.layers.connection_groups import ConnectionGroups
from keras_dynamic.layers.decider import Always, Decider
from keras_dynamic.layers.dynamic_model import DynamicModel
from keras_dynamic.layers.exits import Collaborative, Exit, LeafHead
from keras_dynamic.layers.forward import Outcome, gradient_equilibrium, masked
from keras_dynamic.layers.gates import ConvolutionGate, Gate, RecurrentScores, StaticGate
from keras_dynamic.layers.grouped_body import GroupedBody
from keras_dynamic.layers.halting import FirstHalting, Halting
from keras_dynamic.layers.liveness import LeafPart
from keras_dynamic.layers.normalize_pixels import NormalizePixels
from keras_dynamic.layers.slices import SelectChannels
from keras_dynamic.layers.units import Concatenated, Decided, PadShortcut, Residual, Unit

__all__ = [
    "Always",
    "BatchNormalization",
    "Chain",
    "ChannelGroups",
    "Collaborative",
    "Concatenated",
    "ConnectionGroups",
    "ConvolutionGate",
    "Decided",
    "Decider",
    "DynamicModel",
    "Exit",
    "FirstHalting",
    "Gate",
    "GroupedBody",
    "Halting",
    "LeafHead",
    "LeafPart",
    "NormalizePixels",
    "Outcome",
    "PadShortcut",
    "RecurrentScores",
    "Residual",
    "SelectChannels",
    "StaticGate",
    "Unit",
    "gradient_equilibrium",
    "masked",
]
