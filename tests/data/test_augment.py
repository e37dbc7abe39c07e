import time

import numpy as np
import pytest

from keras_dynamic.data import random_crop_flip


def images(count=16, height=6, width=8, channels=3, dtype=np.uint8):
    return np.random.default_rng(0).integers(1, 256, (count, height, width, channels)).astype(dtype)


def candidates(image, padding, fill):
    """Every crop of one image, straight and mirrored, by plain slicing."""
    height, width, _ = image.shape
    padded = np.empty((height + 2 * padding, width + 2 * padding, image.shape[2]), image.dtype)
    padded[:] = fill
    padded[padding : padding + height, padding : padding + width] = image
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[top : top + height, left : left + width]
            yield (top, left, False), crop
            yield (top, left, True), crop[:, ::-1]


def find(result, image, padding, fill):
    return [key for key, crop in candidates(image, padding, fill) if np.array_equal(crop, result)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("fill", [0, (124, 116, 104)])
def test_each_image_becomes_one_of_its_own_crops(dtype, fill):
    x = images(dtype=dtype)
    before = x.copy()
    y = random_crop_flip(x, np.random.default_rng(1), padding=2, fill=fill)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert np.array_equal(x, before)
    assert all(len(find(crop, image, 2, fill)) == 1 for crop, image in zip(y, x, strict=True))


def test_all_places_and_both_directions_are_drawn_evenly():
    x = np.repeat(images(1), 3600, axis=0)
    y = random_crop_flip(x, np.random.default_rng(2), padding=1)
    crops = dict(candidates(x[0], 1, 0))
    counts = {key: int((y == crop).all(axis=(1, 2, 3)).sum()) for key, crop in crops.items()}
    assert len(counts) == 18
    assert sum(counts.values()) == 3600
    assert min(counts.values()) > 140
    assert max(counts.values()) < 260


def test_the_border_is_black_by_default():
    y = random_crop_flip(images(200), np.random.default_rng(3))
    assert (y == 0).all(axis=3).any()
    assert not ((y == 0).any(axis=3) & ~(y == 0).all(axis=3)).any()


def test_the_generator_alone_decides():
    x = images()
    first = random_crop_flip(x, np.random.default_rng(4))
    np.random.seed(0)
    assert np.array_equal(first, random_crop_flip(x, np.random.default_rng(4)))
    assert not np.array_equal(first, random_crop_flip(x, np.random.default_rng(5)))


def test_no_padding_only_mirrors():
    x = images()
    y = random_crop_flip(x, np.random.default_rng(6), padding=0)
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(y, x, strict=True)]
    assert 0 < sum(mirrored) < len(x)
    assert all(m or np.array_equal(a, b) for m, a, b in zip(mirrored, y, x, strict=True))


def test_a_batch_of_cifar_size_takes_about_a_millisecond():
    x = images(128, 32, 32)
    rng = np.random.default_rng(7)
    times = []
    for _ in range(50):
        start = time.perf_counter()
        random_crop_flip(x, rng)
        times.append(time.perf_counter() - start)
    assert min(times) < 2e-3


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"height, width, channels\], got \[6, 8, 3\]"):
        random_crop_flip(images()[0], np.random.default_rng(0))
    with pytest.raises(ValueError, match="padding of 0 pixels or more, got -1"):
        random_crop_flip(images(), np.random.default_rng(0), padding=-1)
