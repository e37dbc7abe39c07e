"""Methods of the papers: a decider, losses and a schedule as a keras.Model."""

from keras_dynamic.methods.activation_gating import ActivationGating
from keras_dynamic.methods.blockdrop import BlockDrop
from keras_dynamic.methods.fit_guideline import fit_guideline
from keras_dynamic.methods.imta import IMTA
from keras_dynamic.methods.inference import ensemble, stochastic
from keras_dynamic.methods.sgad import SGAD

__all__ = ["IMTA", "SGAD", "ActivationGating", "BlockDrop", "ensemble", "fit_guideline", "stochastic"]
