"""Crops of photographs: windows read back from an image whose pixels say where they are, and NumPy's bilinear."""

import numpy as np
import pytest

from keras_dynamic.data.streams import centre_crop, random_resized_crop


def places(height, width):
    """An image whose red channel is the row and whose green one the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def bilinear(image, height, width):
    """Resizes with pixels as points at their middle, as an oracle."""

    def along(axis, size):
        at = np.clip((np.arange(size) + 0.5) * image.shape[axis] / size - 0.5, 0, image.shape[axis] - 1)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, image.shape[axis] - 1), at - low

    (top, bottom, down), (left, right, across) = along(0, height), along(1, width)
    image = image.astype(float)
    rows = image[top] * (1 - down)[:, None, None] + image[bottom] * down[:, None, None]
    return rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]


@pytest.mark.parametrize(
    ("height", "width", "size", "resized"),
    [
        (60, 90, 28, (32, 48)),  # 28 of 32 pixels, as 224 of 256
        (90, 60, 28, (48, 32)),
        (17, 31, 28, (32, 58)),  # 31 * 32 / 17 = 58.35
        (32, 32, 28, (32, 32)),
        (37, 41, 96, (110, 122)),  # 96 * 256 / 224 = 109.7; 41 * 110 / 37 = 121.9
    ],
)
def test_the_middle_of_an_image_whose_shorter_side_is_resized(height, width, size, resized):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    whole = bilinear(image, *resized)
    top, left = (resized[0] - size) // 2, (resized[1] - size) // 2
    found = centre_crop(image, size).numpy()
    assert (found.shape, found.dtype) == ((size, size, 3), np.uint8)
    assert np.abs(found - whole[top : top + size, left : left + size]).max() <= 0.51


def windows(count, height=200, width=250, size=64):
    """(heights, widths, mirrored) of random windows, read back from the pixels."""
    image, found = places(height, width), []
    for seed in range(count):
        rows, columns = np.moveaxis(random_resized_crop(image, size, [7, seed]).numpy()[..., :2].astype(float), -1, 0)
        tall, wide = (np.ptp(values) * size / (size - 1) for values in (rows.mean(axis=1), columns.mean(axis=0)))
        found.append((tall, wide, columns[0, 0] > columns[0, -1]))
    return np.array(found).T


def test_random_windows_have_the_area_and_aspect_of_the_paper():
    tall, wide, mirrored = windows(200)
    area, aspect = tall * wide / (200 * 250), wide / tall
    assert area.min() > 0.07
    assert area.max() <= 1.02
    assert np.mean(area > 0.5) > 0.25  # uniform in area, but for the windows that do not fit in
    assert np.mean(area < 0.3) > 0.1
    assert 0.7 < aspect.min() < 0.85
    assert 1.18 < aspect.max() < 1.4
    assert 0.35 < mirrored.mean() < 0.65


def test_the_same_seed_gives_the_same_window():
    image = places(100, 120)
    first = random_resized_crop(image, 32, [3, 4]).numpy()
    assert (first.shape, first.dtype) == ((32, 32, 3), np.uint8)
    np.testing.assert_array_equal(random_resized_crop(image, 32, [3, 4]), first)
    assert np.any(random_resized_crop(image, 32, [3, 5]).numpy() != first)
