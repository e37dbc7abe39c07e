"""Small networks in front of large ones, trained on their logits."""

import keras
import numpy as np
import pytest

import keras_dynamic as kd
from keras_dynamic import models
from keras_dynamic.models.distil_front import _Taught, _Views

SIZE, CLASSES = 16, 3


@pytest.fixture(scope="module")
def images():
    """Bright, dark and striped images, 0 to 255."""
    rng = np.random.default_rng(0)
    y = np.arange(96) % CLASSES
    x = rng.uniform(60, 120, (96, SIZE, SIZE, 3))
    x[y == 1] += 90
    x[y == 2, ::2] += 90
    return x.astype("uint8"), y


@pytest.fixture(scope="module")
def large(images):
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(48, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(48, 3, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ],
        name="large",
    )
    network.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    network.fit(*images, epochs=12, batch_size=16, verbose=0)
    return network


def macs(network):
    return kd.cost.tree(network).total_macs


@pytest.mark.parametrize(
    ("shape", "limit"), [((32, 32, 3), 14e6), ((32, 32, 3), 42e6), ((96, 96, 1), 30e6), ((224, 224, 3), 400e6)]
)
def test_a_front_network_uses_its_limit(shape, limit):
    network = models.front_network(shape, 10, limit)
    assert 0.6 * limit < macs(network) <= limit
    assert network.compute_output_spec(keras.KerasTensor((2, *shape))).shape == (2, 10)


def test_the_one_for_12_million_macs_at_32_pixels():
    """A stem of 16 channels and a block each of 32, 64 and 128, each of half the size: MACs by hand."""
    # its shortcuts are 1x1 convolutions
    stem = 32 * 32 * 9 * 3 * 16
    blocks = sum(size**2 * 9 * (c // 2 * c + c * c) for size, c in ((16, 32), (8, 64), (4, 128)))
    shortcuts = sum(size**2 * (c // 2) * c for size, c in ((16, 32), (8, 64), (4, 128)))
    assert macs(models.front_network((32, 32, 3), 10, 12e6)) == stem + blocks + shortcuts + 128 * 10


def test_the_cost_may_be_another():
    """Here the number of weights."""
    network = models.front_network((32, 32, 3), 10, 100_000, cost=lambda each: each.count_params())
    assert network.count_params() <= 100_000


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: models.front_network((32, 32, 3), 10, 1000),
            "the smallest front network costs .*, over the limit",
        ),
        (lambda: models.front_network((6, 6, 3), 10, 1e6), "at least 8 pixels, got inputs of shape"),
        (lambda: models.front_network((40, 6), 10, 1e6), "of your own: network="),
    ],
)
def test_what_cannot_be_made_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_loss_by_hand():
    """0.25 of the cross entropy, 0.75 T^2 KL(teacher || student)."""
    teacher, student = np.array([[2.0, 0.0]]), np.array([[0.0, 1.0]])

    def softmax(z):
        return np.exp(z) / np.exp(z).sum()

    p, q = softmax(teacher[0] / 2), softmax(student[0] / 2)
    expected = 0.75 * 4 * (p * np.log(p / q)).sum() - 0.25 * np.log(softmax(student[0])[1])
    targets = np.concatenate([teacher, [[1.0]]], axis=1).astype("float32")
    found = _Taught("classes", 2, 2.0, 0.25)(targets, student.astype("float32"))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_view_is_the_same_each_time_and_has_its_logits():
    x = np.arange(20 * 8 * 8 * 3).reshape(20, 8, 8, 3).astype("float32")
    taught = _Views(x, np.arange(20), kd.data.random_crop_flip, 3, 16, seed=1)

    class Teacher:
        """Answers with the sum of each image, small enough for float16, and that of its first row."""

        def predict_on_batch(self, images):
            return np.stack([images.sum((1, 2, 3)), images[:, 0].sum((1, 2))], axis=1) / 1e4

    teacher = Teacher()
    taught.logits = taught.answers_of(teacher, verbose=0)
    assert taught.logits.shape == (3, 20, 2)
    seen = []
    for epoch in range(4):
        taught.epoch = epoch
        batches = [taught[index] for index in range(len(taught))]
        for images, targets in batches:
            np.testing.assert_allclose(targets[:, :2], teacher.predict_on_batch(images), rtol=2e-3)
        labels = np.concatenate([targets[:, 2] for _, targets in batches])
        assert sorted(labels) == list(range(20))
        seen.append(labels.tolist())
    assert seen[0] != seen[1]


@pytest.mark.parametrize("labelled", [True, False])
def test_it_learns_to_answer_as_the_large_one(images, large, labelled):
    x, y = images
    arguments = {"share": 0.3, "epochs": 16, "batch_size": 16, "learning_rate": 0.05, "verbose": 0}
    front = models.distil_front(large, x, y if labelled else None, **arguments)
    assert front.name == "large_30"
    assert macs(front) <= 0.3 * macs(large)
    agreed = front.predict(x, verbose=0).argmax(1) == large.predict(x, verbose=0).argmax(1)
    assert agreed.mean() > 0.9
    cascade = models.cascade([front, large])
    assert cascade.fit_thresholds(x[:48], quantiles=[0.2]).spent < macs(large)


def test_a_loss_that_is_not_finite_is_an_error(images, large, tmp_path):
    given = {"share": 0.3, "epochs": 2, "batch_size": 16, "learning_rate": 1e30, "verbose": 0, "folder": tmp_path}
    with pytest.raises(FloatingPointError, match=r"the loss is (nan|inf) in epoch 1"):
        models.distil_front(large, *images, **given)
    assert not list(tmp_path.glob("*.keras"))


def test_an_interrupted_training_goes_on_to_the_same_network(images, large, tmp_path, monkeypatch):
    x, y = images
    arguments = {"share": (0.2, 0.3), "epochs": 2, "batch_size": 48, "verbose": 0}
    whole = models.distil_front(large, x, y, folder=tmp_path / "whole", **arguments)
    fit, count = kd.layers.DynamicModel.fit, iter(range(10))

    def stops(self, *args, **kwargs):
        if next(count) == 3:
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(kd.layers.DynamicModel, "fit", stops)
        with pytest.raises(KeyboardInterrupt):
            models.distil_front(large, x, y, folder=tmp_path / "part", **arguments)
    again = models.distil_front(large, x, y, folder=tmp_path / "part", **arguments)
    for one, other in zip(whole, again, strict=True):
        for value, expected in zip(other.get_weights(), one.get_weights(), strict=True):
            np.testing.assert_allclose(value, expected, atol=1e-5)
    with monkeypatch.context() as patched:
        patched.setattr(kd.layers.DynamicModel, "fit", None)  # all is done
        models.distil_front(large, x, y, folder=tmp_path / "part", **arguments)
    with pytest.raises(ValueError, match="holds another distillation"):
        models.distil_front(large, x, y, folder=tmp_path / "part", **{**arguments, "epochs": 3})


def test_a_network_of_the_users_on_sequences():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(0, 1, (64, 12, 2)).astype("float32")
    y = (x.mean((1, 2)) > 0).astype(int)

    def made(width):
        return keras.Sequential(
            [
                keras.Input((12, 2)),
                keras.layers.Conv1D(width, 3, activation="relu"),
                keras.layers.GlobalAveragePooling1D(),
                keras.layers.Dense(2),
            ]
        )

    large, small = made(32), made(4)
    large.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    large.fit(x, y, epochs=20, verbose=0)
    front = models.distil_front(large, x, y, network=small, augment=None, epochs=20, batch_size=16, verbose=0)
    assert front is small
    assert (front.predict(x, verbose=0).argmax(1) == large.predict(x, verbose=0).argmax(1)).mean() > 0.9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"share": 0.0}, "share"),
        ({"share": 1.5}, "share"),
        ({"epochs": 0}, "epochs and views must be at least 1"),
        ({"batch_size": 20}, "batch_size a multiple of 8"),
        ({"share": 0.001}, "the smallest front network costs"),
        ({"y": [0, 1]}, "labels"),
        ({"y": np.full(96, 7)}, "labels"),
        ({"x": np.full((96, SIZE, SIZE, 3), np.nan)}, "finite"),
        ({"label_weight": 2}, "label_weight"),
        (
            {
                "network": keras.Sequential(
                    [keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
                )
            },
            r"must return logits \[batch, 3\], as the large one does, got \[batch, 2\]",
        ),
    ],
)
def test_bad_input_is_refused(images, large, changes, message):
    arguments = {"x": images[0], "y": images[1], "verbose": 0, **changes}
    with pytest.raises(ValueError, match=message):
        models.distil_front(large, **arguments)
