"""Rendered letters: the same again, none in two parts, refused where other ones lie."""

import numpy as np
import pytest

from keras_dynamic.data import read_folder
from keras_dynamic.experiments.letters import LETTERS, SIZE, render


def test_letters_are_rendered_once_and_the_same_again(tmp_path):
    counts = {"train": 2, "test": 1}
    first = render(tmp_path / "a", counts)
    train, test = (read_folder(first / part, (SIZE, SIZE, 3)) for part in counts)
    assert (train.images.shape, test.images.shape) == ((52, SIZE, SIZE, 3), (26, SIZE, SIZE, 3))
    assert train.class_names == tuple(LETTERS)
    again = read_folder(render(tmp_path / "b", counts) / "train", (SIZE, SIZE, 3))
    np.testing.assert_array_equal(again.images, train.images)
    assert len({image.tobytes() for image in (*train.images, *test.images)}) == 78
    before = (first / "test" / "A" / "0000.png").stat().st_mtime_ns
    render(first, counts)
    assert (first / "test" / "A" / "0000.png").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="holds other images"):
        render(first, counts, seed=1)
