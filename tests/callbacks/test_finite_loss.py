import keras
import numpy as np
import pytest

from keras_dynamic.callbacks import RequireFiniteLoss


def network():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def test_the_first_batch_that_is_not_finite_ends_the_training():
    x, y = np.ones((6, 2), "float32"), np.ones((6, 1), "float32")
    network().fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=[RequireFiniteLoss()])
    for value in (np.nan, np.inf):
        x[2] = value
        with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) in epoch 1, batch 2; train with a lower"):
            network().fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0, callbacks=[RequireFiniteLoss()])
