"""Chains, units, gates and the model that puts a chain and a decider together."""

from keras_dynamic.layers.always import Always
from keras_dynamic.layers.chain import Chain
from keras_dynamic.layers.channel_groups import ChannelGroups
from keras_dynamic.layers.collaborative import Collaborative
from keras_dynamic.layers.concatenated import Concatenated
from keras_dynamic.layers.connection_groups import ConnectionGroups
from keras_dynamic.layers.decider import Decider
from keras_dynamic.layers.dynamic_model import DynamicModel
from keras_dynamic.layers.exit import Exit
from keras_dynamic.layers.gate import FreeGate, Gate
from keras_dynamic.layers.gradient_equilibrium import gradient_equilibrium
from keras_dynamic.layers.grouped_body import GroupedBody
from keras_dynamic.layers.leaf_head import LeafHead
from keras_dynamic.layers.needs import LeafPart
from keras_dynamic.layers.normalize_pixels import NormalizePixels
from keras_dynamic.layers.outcome import Outcome
from keras_dynamic.layers.pad_shortcut import PadShortcut
from keras_dynamic.layers.readings import masked
from keras_dynamic.layers.recurrent_scores import RecurrentScores
from keras_dynamic.layers.residual import Residual
from keras_dynamic.layers.select_channels import SelectChannels
from keras_dynamic.layers.unit import Decided, Unit

__all__ = [
    "Always",
    "Chain",
    "ChannelGroups",
    "Collaborative",
    "Concatenated",
    "ConnectionGroups",
    "Decided",
    "Decider",
    "DynamicModel",
    "Exit",
    "FreeGate",
    "Gate",
    "GroupedBody",
    "LeafHead",
    "LeafPart",
    "NormalizePixels",
    "Outcome",
    "PadShortcut",
    "RecurrentScores",
    "Residual",
    "SelectChannels",
    "Unit",
    "gradient_equilibrium",
    "masked",
]
