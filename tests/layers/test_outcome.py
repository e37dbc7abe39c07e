"""An outcome is a nest that Keras and the backends can walk."""

import keras

from keras_dynamic.layers import Outcome


def test_it_maps_like_any_nest():
    outcome = Outcome(1, {"early": 2}, {"unit1": 3}, {"unit1": 4}, 5)
    doubled = keras.tree.map_structure(lambda x: 2 * x, outcome)
    assert isinstance(doubled, Outcome)
    assert doubled == Outcome(2, {"early": 4}, {"unit1": 6}, {"unit1": 8}, 10)
