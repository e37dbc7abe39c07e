"""A layer of one function of feature maps."""

import keras

from keras_dynamic import cost


class Function(keras.layers.Layer):
    """A layer of one function of feature maps, without MACs."""

    def __init__(self, function):
        super().__init__(name="function")
        self.function = function

    def call(self, x):
        return self.function(x)


@cost.register(Function)
def _function_cost(layer, inputs):
    return 0
