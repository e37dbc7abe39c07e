"""What compile takes, and the task that follows from it."""

import keras
import numpy as np
import pytest

from keras_dynamic import models
from keras_dynamic.deciders import Confidence
from keras_dynamic.evaluation import evaluate, fit_budget
from keras_dynamic.layers import Chain, DynamicModel, Exit
from keras_dynamic.ops import mean_over_batch
from keras_dynamic.ops.tasks import task_of_loss
from keras_dynamic.transform import attach_exits

losses = keras.losses


def network(logits=3, **kwargs):
    chain = Chain([keras.layers.Dense(5)], [keras.layers.Dense(5, name="one")], [keras.layers.Dense(logits)])
    model = DynamicModel(chain, **kwargs)
    model.build((None, 4))
    return model


@pytest.mark.parametrize(
    ("loss", "task"),
    [
        (["mse"], "values"),
        ({"out": "mse"}, "values"),
        (losses.MeanSquaredError(name="reg"), "values"),
        (losses.LogCosh(name="mine"), "values"),
        (losses.BinaryFocalCrossentropy(from_logits=True, name="bce"), "labels"),
        (losses.BinaryCrossentropy(from_logits=True), "labels"),
        (losses.SparseCategoricalCrossentropy(from_logits=True, name="mse"), "classes"),
        (losses.mean_absolute_error, "values"),
        (None, "classes"),
    ],
)
def test_the_task_of_a_loss(loss, task):
    assert task_of_loss(loss, 3) == task


def test_a_task_may_be_given_and_is_saved(tmp_path):
    @keras.saving.register_keras_serializable("tests")
    def odd_loss(y, z):
        return keras.ops.mean(keras.ops.abs(y - z) ** 1.5)

    model = network(task="values")
    model.compile("sgd", odd_loss)
    assert model.task == "values"
    with pytest.raises(ValueError, match=r"task must be one of .* got 'value' \(did you mean 'values'\?\)"):
        network(task="value")
    model = network()
    model.compile("sgd", losses.BinaryCrossentropy(from_logits=True))
    model.save(tmp_path / "labels.keras")
    assert keras.models.load_model(tmp_path / "labels.keras", compile=False).task == "labels"


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        losses.BinaryCrossentropy(),
        losses.CategoricalCrossentropy(),
        losses.sparse_categorical_crossentropy,
        ["categorical_crossentropy"],
    ],
)
def test_losses_of_probabilities_are_refused(loss):
    with pytest.raises(
        ValueError, match=r"returns logits, but the loss .* takes probabilities; give it from_logits=True"
    ):
        network().compile("sgd", loss)


def test_accuracy_of_one_logit_is_that_of_its_sign():
    model = network(1)
    model.compile("sgd", losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
    x = np.random.default_rng(0).normal(0, 1, (64, 4)).astype("float32")
    y = (model.predict(x, verbose=0)[:, 0] > 0).astype(int)
    assert model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"] == 1.0
    assert evaluate(model, x, y).accuracy == 1.0


def test_a_binary_cascade_keeps_its_task_under_a_confidence_of_ones_own():
    @keras.saving.register_keras_serializable("tests")
    def surest(logits):
        return keras.ops.max(keras.ops.abs(logits), axis=-1)

    def made(width):
        parts = [keras.Input((4,)), keras.layers.Dense(width), keras.layers.Dense(3, activation="sigmoid")]
        return keras.Sequential(parts, name=f"of{width}")

    cascade = models.cascade([made(2), made(8)], confidence=surest)
    assert cascade.task == "labels"
    x = np.random.default_rng(0).normal(0, 1, (40, 4)).astype("float32")
    cascade.fit_thresholds(x, (x[:, :3] > 0).astype(int), macs=40)


def test_answers_of_a_regression_are_not_right_or_wrong():
    chain = network(1).chain
    exits = [Exit([keras.layers.Dense(1)], "one", name="early")]
    model = DynamicModel(chain.replace(exits=exits), Confidence(), task="values")
    model.build((None, 4))
    x = np.zeros((10, 4), "float32")
    with pytest.raises(ValueError, match="neither right nor wrong"):
        fit_budget(model, x, macs=60, y=np.zeros(10))


def test_figures_without_labels():
    figures = evaluate(network(), np.zeros((4, 4), "float32")).figures()
    assert np.isnan(figures["accuracy"])
    assert figures["macs_mean"] > 0


def test_weights_of_pixels_count_as_their_mean():
    found = mean_over_batch(np.array([1.0, 3.0], "float32"), np.array([[[1.0, 3.0]], [[0.0, 1.0]]], "float32"))
    assert float(found) == pytest.approx((1 * 2 + 3 * 0.5) / 2)


def test_shapes_of_answers_must_agree():
    def pixels(side):
        parts = [
            keras.Input((8, 8, 2)),
            *[keras.layers.Conv2D(4, 3, padding="same", name=f"conv{k}") for k in range(3)],
        ]
        parts.append(keras.layers.AveragePooling2D(side))
        return keras.Sequential([*parts, keras.layers.Conv2D(3, 1)], name=f"by{side}")

    with pytest.raises(ValueError, match=r"answer in the same shape, but 'by8' gives \[batch, 1, 1, 3\]"):
        models.cascade([pixels(8), pixels(1)])
    with pytest.raises(ValueError, match="makes heads of one answer per input, but 'by1' gives logits"):
        attach_exits(pixels(1), after=["conv1"])
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    units = [keras.layers.Conv2D(4, 3, padding="same", name="one")]
    chain = Chain([keras.layers.Conv2D(4, 3)], units, [keras.layers.Conv2D(3, 1)], [Exit(head, "one", name="early")])
    with pytest.raises(ValueError, match=r"as often as the head, whose logits are \[.*, 3\], but exit 'early' gives"):
        DynamicModel(chain).build((None, 8, 8, 2))


X = np.random.default_rng(0).normal(0, 1, (12, 4)).astype("float32")
SPARSE, BINARY = losses.SparseCategoricalCrossentropy, losses.BinaryCrossentropy


@pytest.mark.parametrize(
    ("logits", "loss", "x", "y", "message"),
    [
        (3, SPARSE(from_logits=True), np.full((12, 4), np.nan), np.arange(12) % 3, "images must be finite numbers"),
        (3, SPARSE(from_logits=True), X, np.arange(12) % 3 + 1, "labels must be class numbers from 0 to 2"),
        (3, SPARSE(from_logits=True), X, np.arange(12) % 3 - 1, "labels must be class numbers from 0 to 2"),
        (
            1,
            BINARY(from_logits=True),
            X,
            np.arange(12) % 4,
            "targets of a binary cross entropy lie in 0 to 1, got 0 to 3",
        ),
        (3, BINARY(from_logits=True), X, np.arange(12) % 2, r"targets must be \[n, 3\], got shape \[12\]"),
        (1, "mse", X, np.full(12, np.inf), "targets must be finite numbers"),
        (1, "mse", X, np.zeros((12, 2)), r"targets must be \[n, 1\], got shape \[12, 2\]"),
        (1, "mse", X, np.array(["a"] * 12), "targets must be numbers, got <U1"),
    ],
)
def test_fit_refuses_what_cannot_be_learnt(logits, loss, x, y, message):
    model = network(logits)
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0)
    good = np.zeros((12, 3)) if isinstance(loss, BINARY) and logits == 3 else np.zeros(12, int)
    with pytest.raises(ValueError, match=message):
        model.fit(X, good, validation_data=(x, y), verbose=0)


def test_fit_takes_soft_targets():
    for logits, loss in ((1, BINARY(from_logits=True)), (3, BINARY(from_logits=True))):
        model = network(logits)
        model.compile("sgd", loss)
        model.fit(X, np.full((12, logits), 0.1), verbose=0)
    model = network()
    model.compile("sgd", losses.CategoricalCrossentropy(from_logits=True))
    model.fit(X, np.full((12, 3), 1 / 3), verbose=0)
