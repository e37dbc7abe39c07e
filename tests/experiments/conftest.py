"""A tiny data set and a config whose training takes seconds."""

import numpy as np
import pytest

from configs import base

CLASSES = 4


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """A folder with tiny.npz: 64 training and 24 test images whose brightness tells the class."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, 88)
    x = (rng.integers(0, 100, (88, 32, 32, 3)) + 40 * y[:, None, None, None]).astype("uint8")
    folder = tmp_path_factory.mktemp("data")
    names = np.array(["night", "dusk", "dawn", "day"])
    np.savez(folder / "tiny.npz", x_train=x[:64], y_train=y[:64], x_test=x[64:], y_test=y[64:], class_names=names)
    return folder


def of_tiny(config):
    """Sets a config to a random ResNet-8 on the tiny data set, and returns it."""
    config.data.name, config.data.held_out = "tiny", 16
    config.network.depth, config.network.num_classes, config.network.weights = 8, CLASSES, ""
    config.batch_size, config.reestimate_images = 16, 32
    return config


def tiny_config():
    config = of_tiny(base.get_config())
    config.epochs = 3
    config.anneal.a, config.anneal.k = 0.4, 1
    config.optimizer.learning_rate = 0.02
    return config


@pytest.fixture(scope="session")
def make_config():
    """make_config() -> three epochs of three batches of a gated ResNet-8 from random weights."""
    return tiny_config


@pytest.fixture
def config():
    """A config of make_config."""
    return tiny_config()
