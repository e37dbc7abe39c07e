import keras
import pytest

from keras_dynamic.lite import count_macs, flatbuffer, outline, read_metadata, write_metadata
from tests.lite.foreign import converted


def counted(to_tflite, images, layer, int8=False):
    return count_macs(to_tflite(lambda image: {"y": layer(image)}, images, int8), {})


# Images are 8 x 8 x 3. Each line states its arithmetic: positions of the output x kernel x channels in x channels out.
@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (lambda: keras.layers.Conv2D(4, 3, padding="same"), 64 * 9 * 3 * 4),
        (lambda: keras.layers.Conv2D(4, 3, strides=2, padding="same"), 16 * 9 * 3 * 4),
        (lambda: keras.layers.Conv2D(4, 3), 36 * 9 * 3 * 4),
        (lambda: keras.layers.Conv2D(4, 1), 64 * 3 * 4),
        (lambda: keras.layers.Conv2D(6, 3, groups=3), 36 * 9 * 1 * 6),
        (lambda: keras.layers.DepthwiseConv2D(3, depth_multiplier=2), 36 * 9 * 3 * 2),
        (lambda: keras.layers.SeparableConv2D(5, 3), 36 * 9 * 3 + 36 * 3 * 5),
        (lambda: keras.layers.Conv2DTranspose(4, 2, strides=2), 64 * 4 * 3 * 4),
        (lambda: keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(7)]), 192 * 7),
        (lambda: keras.layers.Dense(7), 64 * 3 * 7),
        (lambda: keras.Sequential([keras.layers.MaxPooling2D(), keras.layers.GlobalAveragePooling2D()]), 0),
        (lambda: keras.Sequential([keras.layers.Softmax(), keras.layers.ZeroPadding2D(1)]), 0),
    ],
)
def test_layers(to_tflite, images, layer, macs):
    assert counted(to_tflite, images, layer()) == macs


def test_int8_counts_the_same(to_tflite, images):
    layer = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(7)])
    assert counted(to_tflite, images, layer, int8=True) == 36 * 9 * 3 * 4 + 144 * 7


def test_product_of_computed_matrices(to_tflite, images):
    import tensorflow as tf

    def forward(image):
        rows = tf.reshape(image, (1, 16, 12))
        return {"y": tf.matmul(rows, tf.transpose(rows, (0, 2, 1)))}

    assert count_macs(to_tflite(forward, images, False), {}) == 16 * 16 * 12


@pytest.mark.parametrize("int8", [False, True])
def test_decisions_choose_the_branch(example, int8):
    made = example("exits", int8)
    base, unit, after, inner = (macs for macs, _ in made.cost)
    decisions = {"unit": True, "exit": True, "exit/unit": True}
    assert count_macs(made.outlined, decisions) == base + unit + after + inner
    assert count_macs(made.outlined, {**decisions, "exit": False}) == base + unit
    assert count_macs(made.outlined, {**decisions, "unit": False, "exit/unit": False}) == base + after
    assert count_macs(made.select, decisions) == base + unit + after + inner
    assert count_macs(made.select, dict.fromkeys(decisions, False)) == base + unit + after + inner


def test_wrong_decisions_are_refused(example):
    model = example("units", False).outlined
    with pytest.raises(ValueError, match=r"got 'tow' \(did you mean 'two'\?\)"):
        count_macs(model, {"one": True, "tow": True, "three": True})
    with pytest.raises(ValueError, match="depend on decision 'three'"):
        count_macs(model, {"one": True, "two": False})


def test_unknown_operators_are_named(to_tflite, images):
    import tensorflow as tf

    model = to_tflite(
        lambda image: {
            "y": tf.raw_ops.Conv3D(
                input=image[..., None], filter=tf.ones((2, 2, 2, 1, 1)), strides=[1] * 5, padding="VALID"
            )
        },
        images,
        False,
    )
    with pytest.raises(ValueError, match="operator CONV_3D are unknown"):
        count_macs(model, {})


def test_ifs_of_no_decision_are_refused(example):
    made = example("units", False)
    model = flatbuffer.load(made.outlined)
    next(g for g in model.subgraphs if g.name == "decision_1_then").name = "mine"
    with pytest.raises(ValueError, match="branch 'mine' belongs to none of the decisions"):
        count_macs(flatbuffer.pack(model), dict.fromkeys(made.decisions, True))
    few = write_metadata(made.outlined, {**read_metadata(made.outlined), "decisions": ["one", "two"]})
    with pytest.raises(ValueError, match="decision_2_then"):
        count_macs(few, {"one": True, "two": True})


def test_static_model_without_metadata(to_tflite, images):
    layer = keras.layers.Conv2D(4, 3)
    model = to_tflite(lambda image: {"y": layer(image)}, images, False)
    assert count_macs(outline(model), {}) == count_macs(model, {}) == 36 * 9 * 3 * 4


def foreign(layers, size):
    """The bytes of a file that TensorFlow's converter made alone: of any batch, and perhaps any size of image."""
    return converted(keras.Sequential([keras.Input((size, size, 3)), *layers]))


def some_layers(name):
    conv = keras.layers.Conv2D(4, 3, padding="same", name=name)
    return [conv, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(7)]


@pytest.mark.parametrize("name", ["conv", "conv_scaled_channels"])  # as the convolutions of scaled channels are named
def test_files_of_any_batch_count_one_image(name):
    assert count_macs(foreign(some_layers(name), 8), {}) == 64 * 9 * 3 * 4 + 4 * 7


def test_a_batch_that_is_mixed_with_places():
    rows = keras.layers.Lambda(lambda x: keras.ops.reshape(x, (-1, 4)), output_shape=(4,))
    layers = [keras.layers.Conv2D(4, 3, padding="same"), rows, keras.layers.Dense(7)]
    assert count_macs(foreign(layers, 8), {}) == 64 * 9 * 3 * 4 + 64 * 4 * 7


def test_rows_that_a_run_alone_puts_into_the_batch():
    assert count_macs(converted(keras.Sequential([keras.Input((8, 6)), keras.layers.Dense(5)])), {}) == 8 * 6 * 5


def test_files_of_any_size_are_refused():
    with pytest.raises(ValueError, match="of which the run decides more than the batch, so that the MACs are unknown"):
        count_macs(foreign(some_layers("conv"), None), {})
