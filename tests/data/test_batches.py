import os
import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from keras_dynamic.data import Batches, load, random_crop_flip

X = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
Y = (np.arange(50) % 4).astype(np.int32)


def read(batches):
    """Reads one epoch and ends it, as Keras does."""
    pairs = [batches[i] for i in range(len(batches))]
    batches.on_epoch_end()
    return np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])


def test_an_epoch_holds_every_image_once_with_its_label():
    x, y = read(Batches(X, np.arange(50), batch_size=16))
    assert sorted(y) == list(range(50))
    assert y.tolist() != list(range(50))
    assert np.array_equal(x, X[y])
    assert x.dtype == np.uint8


def test_the_last_batch_may_be_small_or_left_out():
    assert [len(Batches(X, Y, 16)[i][1]) for i in range(4)] == [16, 16, 16, 2]
    dropping = Batches(X, Y, 16, drop_remainder=True)
    assert len(dropping) == 3
    assert [len(dropping[i][1]) for i in range(3)] == [16, 16, 16]


def test_order_and_augmentation_change_from_epoch_to_epoch():
    batches = Batches(X, np.arange(50), 16, random_crop_flip)
    (x0, y0), (x1, y1) = read(batches), read(batches)
    assert batches.epoch == 2
    assert y0.tolist() != y1.tolist()
    assert not np.array_equal(x0[np.argsort(y0)], x1[np.argsort(y1)])


def test_seed_epoch_and_index_alone_decide():
    first = Batches(X, Y, 16, random_crop_flip, seed=3)
    epochs = [read(first) for _ in range(3)]
    again = Batches(X, Y, 16, random_crop_flip, seed=3, epoch=2)
    assert np.array_equal(again[3][0], epochs[2][0][48:])  # the last batch first
    assert all(np.array_equal(a, b) for a, b in zip(read(again), epochs[2], strict=True))
    other = Batches(X, Y, 16, random_crop_flip, seed=4, epoch=2)
    assert not np.array_equal(other[0][0], epochs[2][0][:16])


def test_without_shuffling_the_order_is_kept():
    batches = Batches(X, Y, 16, shuffle=False)
    for _ in range(2):
        x, y = read(batches)
        assert np.array_equal(x, X)
        assert np.array_equal(y, Y)


def test_an_epoch_that_was_only_looked_at_does_not_count():
    batches = Batches(X, Y, 16)
    looked = batches[0]
    batches.on_epoch_end()
    assert batches.epoch == 0
    assert np.array_equal(looked[0], batches[0][0])


def model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    net = keras.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.BatchNormalization(), layers.Dense(4)])
    net.compile(
        keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    return net


def fit(net, epoch, epochs):
    batches = Batches(X, Y, 8, random_crop_flip, epoch=epoch)
    net.fit(batches, initial_epoch=epoch, epochs=epochs, shuffle=False, verbose=0)
    return batches.epoch


def test_a_resumed_fit_sees_what_the_uninterrupted_one_saw():
    whole, resumed, restarted = model(), model(), model()
    assert fit(whole, 0, 4) == 4
    assert fit(resumed, 0, 2) == 2
    assert fit(resumed, 2, 4) == 4
    assert fit(restarted, 0, 2) == 2
    assert fit(restarted, 0, 2) == 2
    assert np.array_equal(whole.get_weights()[0], resumed.get_weights()[0])
    assert not np.allclose(whole.get_weights()[0], restarted.get_weights()[0])


@pytest.mark.ci
@pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed")
def test_jax_is_served_the_same_and_trains_on_it_without_tensorflow():
    code = """
import sys
sys.modules.update(dict.fromkeys(["tensorflow", "tensorflow_datasets"]))
import keras
from keras_dynamic.data import Batches, load, random_crop_flip
data = load("shipped")
batches = Batches(data.x_train, data.y_train, 100, random_crop_flip, seed=5)
images, labels = batches[7]
layers = keras.layers
net = keras.Sequential([layers.Input((32, 32, 3)), layers.Flatten(), layers.BatchNormalization(), layers.Dense(10)])
net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
losses = net.fit(batches, epochs=3, shuffle=False, verbose=0).history["loss"]
print(images.sum(), labels.sum(), batches.epoch, losses[0] > losses[2])
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    data = load("shipped")
    images, labels = Batches(data.x_train, data.y_train, 100, random_crop_flip, seed=5)[7]
    assert done.stdout.split() == [str(images.sum()), str(labels.sum()), "3", "True"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": Y[:9]}, "got 9 labels and 50 images"),
        ({"batch_size": 0}, "batch_size of 1 or more, got 0"),
        ({"batch_size": 51, "drop_remainder": True}, "one batch of 51, got 50"),
        ({"x": X[:0], "y": Y[:0]}, "got 0; pass more images"),
        ({"epoch": -1}, "got epoch -1 and seed 0"),
        ({"seed": -2}, "got epoch 0 and seed -2"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Batches(**{"x": X, "y": Y, **arguments})


def test_an_index_out_of_range_is_an_error():
    with pytest.raises(IndexError, match="from 0 to 3, got 4"):
        Batches(X, Y, 16)[4]
    with pytest.raises(IndexError, match="got -1"):
        Batches(X, Y, 16)[-1]
