"""Chains, units, gates and the model that puts a chain and a decider together."""

from keras_dynamic.layers.chain import Chain
from keras_dynamic.layers.dynamic_model import DynamicModel
from keras_dynamic.layers.exit import Exit
from keras_dynamic.layers.gate import FreeGate, Gate
from keras_dynamic.layers.outcome import Outcome
from keras_dynamic.layers.pad_shortcut import PadShortcut
from keras_dynamic.layers.residual import Residual
from keras_dynamic.layers.unit import Nested, Unit

__all__ = ["Chain", "DynamicModel", "Exit", "FreeGate", "Gate", "Nested", "Outcome", "PadShortcut", "Residual", "Unit"]
