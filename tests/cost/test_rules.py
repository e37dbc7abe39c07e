"""MACs of Keras' layers as literal arithmetic, and the walk through sequential and functional models."""

import keras
import pytest
from keras import layers

from keras_dynamic import cost

# (layer, input shape without batch, MACs, parameters)
COUNTED = [
    (lambda: layers.Conv2D(8, 3, padding="same"), (10, 12, 3), 10 * 12 * 8 * 3 * 3 * 3, 3 * 3 * 3 * 8 + 8),
    (lambda: layers.Conv2D(8, (3, 1), strides=2), (9, 9, 4), 4 * 5 * 8 * 3 * 4, 3 * 4 * 8 + 8),
    (lambda: layers.Conv2D(8, 3, groups=2, padding="same"), (8, 8, 4), 8 * 8 * 8 * 9 * 2, 9 * 2 * 8 + 8),
    (lambda: layers.Conv2D(2, 3, dilation_rate=2), (8, 8, 1), 4 * 4 * 2 * 9, 9 * 2 + 2),
    (lambda: layers.Conv2D(4, 3, data_format="channels_first"), (3, 8, 6), 6 * 4 * 4 * 9 * 3, 9 * 3 * 4 + 4),
    (lambda: layers.Conv1D(4, 3, padding="same", use_bias=False), (20, 6), 20 * 4 * 3 * 6, 3 * 6 * 4),
    (lambda: layers.Conv3D(2, 3, padding="same"), (4, 4, 4, 3), 64 * 2 * 27 * 3, 27 * 3 * 2 + 2),
    (lambda: layers.Conv1DTranspose(5, 3), (7, 2), 7 * 2 * 3 * 5, 3 * 2 * 5 + 5),
    (lambda: layers.Conv2DTranspose(5, 3, 2, padding="same"), (4, 4, 6), 4 * 4 * 6 * 9 * 5, 9 * 6 * 5 + 5),
    (lambda: layers.Conv3DTranspose(2, 2), (3, 3, 3, 4), 27 * 4 * 8 * 2, 8 * 4 * 2 + 2),
    (lambda: layers.DepthwiseConv1D(3, padding="same"), (10, 4), 10 * 4 * 3, 3 * 4 + 4),
    (
        lambda: layers.DepthwiseConv2D(3, 2, padding="same", depth_multiplier=2),
        (8, 8, 4),
        4 * 4 * 8 * 9,
        9 * 4 * 2 + 8,
    ),
    (lambda: layers.SeparableConv1D(6, 3, padding="same"), (10, 4), 10 * 4 * 3 + 10 * 4 * 6, 3 * 4 + 4 * 6 + 6),
    (
        lambda: layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2),
        (8, 8, 4),
        64 * 8 * 9 + 64 * 8 * 6,
        9 * 8 + 8 * 6 + 6,
    ),
    (lambda: layers.Dense(7), (5,), 5 * 7, 5 * 7 + 7),
    (lambda: layers.Dense(7, use_bias=False), (3, 4, 5), 3 * 4 * 5 * 7, 5 * 7),
    (lambda: layers.LSTM(6), (10, 5), 10 * 4 * 6 * (5 + 6), 4 * 6 * (5 + 6 + 1)),
    (
        lambda: layers.LSTM(6, use_bias=False, unroll=True, return_sequences=True),
        (10, 5),
        4 * 6 * (10 * 5 + 9 * 6),  # its first state, of zeros, is not multiplied
        4 * 6 * (5 + 6),
    ),
    (lambda: layers.GRU(6, reset_after=False), (10, 5), 10 * 3 * 6 * (5 + 6), 3 * 6 * (5 + 6 + 1)),
    (lambda: layers.SimpleRNN(6, unroll=True), (10, 5), 6 * (10 * 5 + 9 * 6), 6 * (5 + 6 + 1)),
    (lambda: layers.LSTMCell(6), (5,), 4 * 6 * (5 + 6), 4 * 6 * (5 + 6 + 1)),
]


@pytest.mark.parametrize(("make", "shape", "macs", "parameters"), COUNTED)
def test_layers_with_multiply_adds(make, shape, macs, parameters):
    layer = make()
    layer.build((None, *shape))
    assert cost.tree(layer, keras.KerasTensor((None, *shape))) == cost.Node(layer.name, macs, parameters)


# (layer, shapes of its inputs without batch, MACs, parameters)
ATTENTION = [
    (
        lambda: layers.MultiHeadAttention(2, 4, value_dim=3),  # 6 queries, 5 keys and values
        [(6, 8), (5, 7)],
        6 * 8 * 2 * 4 + 5 * 7 * 2 * (4 + 3) + 2 * 6 * 5 * (4 + 3) + 6 * 2 * 3 * 8,
        (8 + 1) * 2 * 4 + (7 + 1) * 2 * (4 + 3) + 2 * 3 * 8 + 8,
    ),
    (
        lambda: layers.MultiHeadAttention(2, 4, output_shape=9, use_bias=False),
        [(6, 8), (6, 8)],
        3 * 6 * 8 * 2 * 4 + 2 * 6 * 6 * (4 + 4) + 6 * 2 * 4 * 9,
        3 * 8 * 2 * 4 + 2 * 4 * 9,
    ),
    (
        lambda: layers.GroupQueryAttention(head_dim=4, num_query_heads=4, num_key_value_heads=2, use_bias=False),
        [(6, 8), (5, 8)],
        6 * 8 * 4 * 4 + 5 * 8 * 2 * (4 + 4) + 4 * 6 * 5 * (4 + 4) + 6 * 4 * 4 * 8,
        8 * 4 * 4 + 2 * 8 * 2 * 4 + 4 * 4 * 8,
    ),
    (lambda: layers.Attention(), [(6, 8), (5, 8)], 6 * 5 * 8 * 2, 0),
]


@pytest.mark.parametrize(("make", "shapes", "macs", "parameters"), ATTENTION)
def test_attention(make, shapes, macs, parameters):
    layer = make()
    specs = [keras.Input(shape) for shape in shapes]
    layer(specs) if isinstance(layer, layers.Attention) else layer(*specs)
    assert cost.tree(layer, specs) == cost.Node(layer.name, macs, parameters)


WRAPPED = [
    (lambda: layers.EinsumDense("abc,cd->abd", (None, 7), bias_axes="d"), (5, 6), 5 * 6 * 7),
    (lambda: layers.EinsumDense("...x,xy->...y", 7), (5, 6, 8), 5 * 6 * 8 * 7),
    (lambda: layers.TimeDistributed(layers.Dense(3)), (5, 4), 5 * 4 * 3),
    (lambda: layers.Bidirectional(layers.GRU(6)), (10, 5), 2 * 10 * 3 * 6 * (5 + 6)),
    (lambda: layers.Embedding(20, 6), (5,), 0),
]


@pytest.mark.parametrize(("make", "shape", "macs"), WRAPPED)
def test_layers_around_others(make, shape, macs):
    layer = make()
    layer.build((None, *shape))
    node = cost.tree(layer, keras.KerasTensor((None, *shape)))
    assert (node.total_macs, node.total_parameters) == (macs, layer.count_params())


@pytest.mark.parametrize(
    ("left", "right", "macs"),
    [((5, 6), (6, 7), 5 * 6 * 7), ((3, 5, 6), (3, 6, 7), 3 * 5 * 6 * 7), ((3, 5, 6), (1, 6, 7), 3 * 5 * 6 * 7)],
)
def test_products_of_matrices(left, right, macs):
    x, y = keras.Input(left), keras.Input(right)
    assert cost.tree(keras.Model([x, y], keras.ops.matmul(x, y))).total_macs == macs


FREE = [
    (lambda: layers.BatchNormalization(), 4 * 4),
    (lambda: layers.ReLU(), 0),
    (lambda: layers.Activation("swish"), 0),
    (lambda: layers.Dropout(0.5), 0),
    (lambda: layers.MaxPooling2D(), 0),
    (lambda: layers.AveragePooling2D(2), 0),
    (lambda: layers.GlobalAveragePooling2D(), 0),
    (lambda: layers.ZeroPadding2D(), 0),
    (lambda: layers.UpSampling2D(), 0),
    (lambda: layers.Flatten(), 0),
    (lambda: layers.Rescaling(1 / 255), 0),
    (lambda: layers.Resizing(4, 4), 0),
    (lambda: layers.PReLU(shared_axes=[1, 2]), 4),
    (lambda: layers.Discretization(bin_boundaries=[0.0, 1.0]), 0),
]


@pytest.mark.parametrize(("make", "parameters"), FREE)
def test_layers_without(make, parameters):
    layer = make()
    layer.build((None, 8, 8, 4))
    assert cost.tree(layer, keras.KerasTensor((None, 8, 8, 4))) == cost.Node(layer.name, 0, parameters)


COMPARISONS = ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal")


@pytest.mark.parametrize("name", [*COMPARISONS, "logical_and", "logical_or", "logical_xor"])
def test_comparisons(name):
    x = keras.Input((8, 4))
    y = keras.ops.cast(keras.ops.logical_not(getattr(keras.ops, name)(x, 0.5)), "float32")
    assert cost.tree(keras.Model(x, layers.Dense(3)(y))).total_macs == 8 * 4 * 3


def test_an_lstm_given_its_first_state():
    sequence, state = keras.KerasTensor((None, 10, 5)), keras.KerasTensor((None, 6))
    layer, cell = layers.LSTM(6), layers.LSTMCell(6)
    assert cost.tree(layer, [sequence, state, state]).macs == 10 * 4 * 6 * (5 + 6)
    assert cost.tree(cell, [keras.KerasTensor((None, 5)), [state, state]]).macs == 4 * 6 * (5 + 6)
    model = keras.Sequential([keras.Input((10, 5)), layer, layers.Dense(2)])
    assert cost.tree(model).total_macs == 10 * 4 * 6 * (5 + 6) + 6 * 2


def test_an_lstm_needs_a_known_number_of_steps():
    with pytest.raises(ValueError, match=r"'sequence' needs known sizes, got input shapes .*None, None, 5"):
        cost.tree(layers.LSTM(6, name="sequence"), keras.KerasTensor((None, None, 5)))


def block():
    """A residual block of a functional model: 8x8x4, two convolutions and an addition by operator."""
    x = keras.Input((8, 8, 4))
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(4, 1)(y) * 0.5 + x
    return keras.Model(x, keras.ops.relu(y), name="block")


def test_a_sequential_model_is_the_sum_of_its_layers():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), block_of(6), layers.Flatten(), layers.Dense(2)]
    )
    node = cost.tree(model)
    assert [child.total_macs for child in node.children] == [36 * 4 * 27, 36 * 4 * 9 * 4, 0, 36 * 4 * 2]
    assert node.total_parameters == model.count_params()


def block_of(size):
    return keras.Sequential([keras.Input((size, size, 4)), layers.Conv2D(4, 3, padding="same")])


def test_a_functional_model_is_walked():
    model = block()
    node = cost.tree(model)
    assert node.name == "block"
    assert node.total_macs == 64 * 4 * 9 * 4 + 64 * 4 * 4
    assert node.total_parameters == model.count_params() == (9 * 4 * 4 + 4) + (4 * 4 + 4)


def test_a_shared_layer_runs_twice_and_is_stored_once():
    x = keras.Input((5,))
    shared = layers.Dense(5)
    model = keras.Model(x, shared(shared(x)))
    assert cost.tree(model).total_macs == 2 * 25
    assert cost.tree(model).total_parameters == 30
    again = keras.Sequential([keras.Input((5,)), shared, shared])
    assert cost.tree(again).total_macs == 2 * 25
    assert cost.tree(again).total_parameters == 30


def test_a_functional_model_of_several_inputs():
    image, number = keras.Input((8, 8, 4)), keras.Input((3,))
    joined = layers.Concatenate()([layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)), number])
    model = keras.Model([image, number], layers.Dense(2)(joined))
    assert cost.tree(model).total_macs == 36 * 4 * 9 * 4 + 7 * 2


def test_a_model_inside_a_model():
    x = keras.Input((8, 8, 4))
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(block()(x))))
    assert cost.tree(model).total_macs == 64 * 4 * 9 * 4 + 64 * 4 * 4 + 256 * 2


def test_a_model_built_with_open_sizes_is_counted_at_the_size_at_hand():
    x = keras.Input((None, None, 3))
    y = layers.Conv2D(4, 3, padding="same")(x)
    y = layers.Conv2D(4, 3, strides=2, padding="same")(y)
    model = keras.Model(x, layers.GlobalAveragePooling2D()(keras.ops.relu(y)))
    assert cost.tree(model, keras.KerasTensor((None, 8, 8, 3))).total_macs == 64 * 4 * 27 + 16 * 4 * 36
    assert cost.tree(model, keras.KerasTensor((None, 16, 4, 3))).total_macs == 64 * 4 * 27 + 16 * 4 * 36
    with pytest.raises(ValueError, match=r"needs known sizes, got input shapes .*None.*build with a fixed image size"):
        cost.tree(model)


def test_a_layer_called_with_keywords():
    x = keras.Input((5,))
    model = keras.Model(x, layers.Dense(3)(inputs=x))
    assert cost.tree(model).total_macs == 15


def test_an_operation_with_unknown_cost_is_an_error():
    x = keras.Input((4, 4))
    model = keras.Model(x, keras.ops.einsum("bij,bjk->bik", x, x))
    with pytest.raises(ValueError, match=r"no rule for layer 'einsum.*type Einsum.*cost\.register\(Einsum\)"):
        cost.tree(model)


def test_a_subclassed_model_cannot_be_looked_into():
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    with pytest.raises(
        ValueError, match=r"call method of model 'own' of type Own; .*functional.*cost\.register\(Own\)"
    ):
        cost.tree(Own(), keras.KerasTensor((None, 5)))
