"""A network with exits whose every figure can be derived by hand, and one with gates besides."""

import keras
from keras import layers

from keras_dynamic.layers import Chain, DynamicModel, Exit, Residual


def dense(values):
    return layers.Dense(2, use_bias=False, kernel_initializer=keras.initializers.Constant(values))


def by_hand(decider=None):
    """x + A x, an exit, then x + B x of that; the answers of both are the mean over the one pixel.

    MACs: 4 up to the exit, 8 to the end.
    """
    units = [Residual(dense([[0.5, 0.0], [0.0, 0.0]]), name="first"), Residual(dense([[0, 1], [0, 0]]), name="second")]
    exits = [Exit(layers.GlobalAveragePooling2D(), "first", name="early")]
    model = DynamicModel(Chain(layers.Identity(), units, layers.GlobalAveragePooling2D(), exits), decider)
    model.build((None, 1, 1, 2))
    return model


def with_gates(toy_chain, decider):
    """Three units of the toy chain with an exit behind the first and the second one, and a decider."""

    def exit_(number):
        return Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{number}", name=f"exit{number}")

    model = DynamicModel(toy_chain(units=3, exits=[exit_(1), exit_(2)]), decider, name="both")
    model.build((None, 8, 8, 3))
    return model
