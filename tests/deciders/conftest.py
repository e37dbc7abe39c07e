"""Policies with known probabilities on the toy network."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import Policy, SequentialPolicy
from keras_dynamic.layers import DynamicModel


@pytest.fixture
def dense_policy():
    """Function (units) -> policy network that pools the pixels into a dense layer. MACs: 3 * units."""

    def make(units):
        return keras.Sequential([layers.Rescaling(1 / 255), layers.GlobalAveragePooling2D(), layers.Dense(units)])

    return make


@pytest.fixture
def sure_of(toy_chain, dense_policy):
    """Function (kind, chances, chain=None, **arguments) -> built DynamicModel on the toy network.

    Its policy, of kind Policy or SequentialPolicy, gives each unit that it decides one probability for all images.
    """

    def make(kind, chances, chain=None, **arguments):
        if kind is Policy:
            arguments = {"network": dense_policy(len(chances)), **arguments}
        model = DynamicModel(chain or toy_chain(units=len(chances)), kind(**arguments))
        model.build((None, 8, 8, 3))
        logits = np.log(chances) - np.log1p(-np.asarray(chances))
        if kind is Policy:
            model.decider.network.layers[-1].set_weights([np.zeros((3, len(chances))), logits])
        else:
            assert kind is SequentialPolicy
            for score, logit in zip(model.decider.scores.values(), logits, strict=True):
                score.layers[-1].set_weights([np.zeros((4, 1)), np.array([logit])])
        return model

    return make
