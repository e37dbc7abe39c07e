import numpy as np
import pytest

from keras_dynamic.lite.interpreter import Port, decode, encode, encode_image

FLOAT = Port("image", (1, 2, 2, 3), np.dtype("float32"))
INT8 = Port("image", (1, 2, 2, 3), np.dtype("int8"), 1.0, -128)
PIXELS = np.arange(0, 240, 20, dtype=np.uint8).reshape(2, 2, 3)


@pytest.mark.parametrize("image", [PIXELS, PIXELS[None], PIXELS.astype(np.float32), PIXELS.astype(np.float64)[None]])
def test_images_of_any_kind_are_the_same(image):
    np.testing.assert_array_equal(encode_image(image, FLOAT), PIXELS[None].astype(np.float32))
    np.testing.assert_array_equal(encode_image(image, INT8), (PIXELS[None].astype(int) - 128).astype(np.int8))
    assert encode_image(image, FLOAT).dtype == np.float32
    assert encode_image(image, INT8).dtype == np.int8


def test_bytes_go_into_a_byte_input_as_they_are():
    """Whatever they mean to the model; all other numbers are its own."""
    port = Port("image", (1, 2, 2, 3), np.dtype("uint8"), 1 / 127.5, 128)
    for value in (2, 200):
        image = np.full((2, 2, 3), value, np.uint8)
        found = encode_image(image, port, lambda: {"pixels": False})
        np.testing.assert_array_equal(found, image[None])
        assert found.dtype == np.uint8
    np.testing.assert_array_equal(encode_image(np.full((2, 2, 3), 0.5), port), np.full((1, 2, 2, 3), 192))
    np.testing.assert_array_equal(encode_image(np.full((2, 2, 3), 1), port), np.full((1, 2, 2, 3), 255))
    with pytest.raises(ValueError, match="got 200 to 200; pass images of the same range, or pixel values as uint8"):
        encode_image(np.full((2, 2, 3), 200), port)


def test_quantising_rounds_and_saturates():
    port = Port("x", (5,), np.dtype("int8"), 0.5, 3)
    np.testing.assert_array_equal(encode([0.0, 0.2, 0.3, 100.0, -100.0], port), [3, 3, 4, 127, -128])
    np.testing.assert_array_equal(decode(np.array([3, 4, -128], np.int8), port), np.float32([0.0, 0.5, -65.5]))


def test_integers_of_the_inputs_own_type_go_in_as_they_are():
    port = Port("x", (3,), np.dtype("int8"), 0.5, 3)
    np.testing.assert_array_equal(encode(np.array([-7, 0, 7], np.int8), port), [-7, 0, 7])
    np.testing.assert_array_equal(encode(np.array([-7, 0, 7], np.int32), port), [-11, 3, 17])


def test_unquantised_outputs_stay():
    values = np.array([7], np.int32)
    assert decode(values, Port("macs", (1,), np.dtype("int32"))) is values


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (PIXELS[:1], r"shape \[2, 2, 3\] or \[1, 2, 2, 3\], got \[1, 2, 3\]"),
        (np.stack([PIXELS, PIXELS]), r"got \[2, 2, 2, 3\]"),
        (PIXELS.astype(np.int8), "integers that are not quantised yet, got int8; convert them, or pass .* by feed"),
        (PIXELS / -255.0, "0 to 255, got -0.862745 to -0"),
        (PIXELS * 2.0, "got 0 to 440"),
        (np.full((2, 2, 3), np.nan), "finite numbers, got NaN"),
        (np.full((2, 2, 3), 1e39), "finite numbers, got NaN"),
        (PIXELS.astype(str), "got <U"),
    ],
)
def test_other_images_are_refused(image, words):
    with pytest.raises(ValueError, match=words):
        encode_image(image, FLOAT, lambda: {"pixels": True})


def test_other_ranges_are_taken_where_the_model_does_not_normalise_pixels():
    np.testing.assert_array_equal(encode_image(PIXELS / -255.0, FLOAT), np.float32(PIXELS / -255.0)[None])
    sensor = Port("image", (3,), np.dtype("int8"), 0.1, 0)
    np.testing.assert_array_equal(encode_image([-12.8, 1.04, 20.0], sensor), [-128, 10, 127])
    with pytest.raises(
        ValueError, match=r"holds numbers from -12\.8 to 12\.7, as its calibration images, got 0 to 255"
    ):
        encode_image([0.0, 128.0, 255.0], sensor)


def test_other_inputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"takes shape \[1\], got \[2\]"):
        encode([True, False], Port("decision", (1,), np.dtype(bool)))
