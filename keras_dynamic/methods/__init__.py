"""Methods of the papers: a decider, losses and a schedule as a keras.Model."""

from keras_dynamic.methods.activation_gating import ActivationGating
from keras_dynamic.methods.blockdrop import BlockDrop
from keras_dynamic.methods.fit_guideline import fit_guideline
from keras_dynamic.methods.imta import IMTA
from keras_dynamic.methods.inference import ensemble, ensemble_of, stochastic
from keras_dynamic.methods.learned_exits import LearnedExits
from keras_dynamic.methods.sgad import SGAD

__all__ = [
    "IMTA",
    "SGAD",
    "ActivationGating",
    "BlockDrop",
    "LearnedExits",
    "ensemble",
    "ensemble_of",
    "fit_guideline",
    "stochastic",
]
