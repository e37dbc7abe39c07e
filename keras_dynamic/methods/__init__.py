"""Methods of the papers: a decider, losses and a schedule as a keras.Model."""

from keras_dynamic.methods.activation_gating import ActivationGating
from keras_dynamic.methods.blockdrop import BlockDrop
from keras_dynamic.methods.inference import ensemble, stochastic

__all__ = ["ActivationGating", "BlockDrop", "ensemble", "stochastic"]
