import numpy as np
import pytest

from keras_dynamic.experiments import load_splits
from keras_dynamic.experiments.splits import Splits, check_fit


def test_the_last_training_images_are_held_out(config, data_dir):
    splits = load_splits(config.data, data_dir)
    with np.load(data_dir / "tiny.npz") as file:
        x, y, x_test = file["x_train"], file["y_train"], file["x_test"]
    np.testing.assert_array_equal(splits.train[0], x[:48])
    np.testing.assert_array_equal(splits.held_out[0], x[48:])
    np.testing.assert_array_equal(splits.held_out[1], y[48:])
    np.testing.assert_array_equal(splits.test[0], x_test)
    assert splits.class_names == ("night", "dusk", "dawn", "day")
    check_fit(splits, config)


def splits_of(shape, classes):
    pair = np.zeros((2, *shape), np.uint8), np.zeros(2, int)
    return Splits(pair, pair, pair, tuple(map(str, range(classes))))


def test_images_and_classes_must_be_the_networks(config):
    with pytest.raises(
        ValueError, match=r"takes images of \(32, 32, 3\), but those of 'tiny' are \(28, 28, 1\); resize"
    ):
        check_fit(splits_of((28, 28, 1), 4), config)
    with pytest.raises(
        ValueError, match=r"'tiny' has 100 classes, but the config's network 4; set network.num_classes"
    ):
        check_fit(splits_of((32, 32, 3), 100), config)


def test_more_held_out_than_there_are(config, data_dir):
    config.data.held_out = 64
    with pytest.raises(ValueError, match="between 1 and 63"):
        load_splits(config.data, data_dir)
