"""Methods of the papers: a decider, losses and a schedule as a keras.Model."""

from keras_dynamic.methods.act import ACT
from keras_dynamic.methods.activation_gating import ActivationGating
from keras_dynamic.methods.blockdrop import BlockDrop
from keras_dynamic.methods.ddi import DDI
from keras_dynamic.methods.exits import IMTA, LearnedExits
from keras_dynamic.methods.sgad import SGAD, fit_guideline
from keras_dynamic.methods.skipnet import SkipNet

__all__ = ["ACT", "DDI", "IMTA", "SGAD", "ActivationGating", "BlockDrop", "LearnedExits", "SkipNet", "fit_guideline"]
