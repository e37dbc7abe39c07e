"""What export cannot do is refused in a sentence before any work is done, and what it nearly could not do works."""

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite

L = keras.layers


def built(body, decider=None):
    keras.utils.set_random_seed(0)
    stem = [L.Rescaling(1 / 255), L.Conv2D(8, 3, padding="same")]
    chain = layers.Chain(stem, [layers.Residual(body, name="a")], [L.GlobalAveragePooling2D(), L.Dense(3)])
    model = layers.DynamicModel(chain, decider or deciders.PerUnitGates(hidden=4))
    model.build((None, 8, 8, 3))
    return model


def convolution():
    return [L.Conv2D(8, 3, padding="same")]


def recurrent(kind, **kwargs):
    return [L.Reshape((64, 8)), getattr(L, kind)(8, return_sequences=True, **kwargs), L.Reshape((8, 8, 8))]


@pytest.mark.parametrize("inside", [lambda each: each, lambda each: deciders.CombinedDecider([each])])
def test_decisions_at_random_are_refused(inside):
    decider = deciders.Stochastic(deciders.PerUnitGates(hidden=4))
    with pytest.raises(ValueError, match=r"export needs a model that answers an image the same way .* its gates"):
        lite.export(built(convolution(), inside(decider)))


class Noisy(L.Layer):
    """Adds noise in inference, too."""

    def call(self, x):
        return x + keras.random.normal((1, 8, 8, 8), seed=1)


def test_a_layer_that_draws_in_inference_is_refused():
    from keras_dynamic.cost import register

    register(Noisy)(lambda layer, inputs: 0)
    with pytest.raises(ValueError, match="draws random numbers or changes a variable"):
        lite.export(built([Noisy()]))


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_loops_are_refused(kind, int8, toy_images):
    with pytest.raises(ValueError, match=r"without loops, .*; make recurrent layers with unroll=True"):
        lite.export(built(recurrent(kind)), "int8" if int8 else None, toy_images(4))


BODIES = {
    "lstm": lambda: recurrent("LSTM", unroll=True),
    "gru": lambda: recurrent("GRU", unroll=True),
    "simple_rnn": lambda: recurrent("SimpleRNN", unroll=True),
    "prelu": lambda: [*convolution(), L.PReLU(alpha_initializer="ones"), *convolution()],
    "shared_prelu": lambda: [*convolution(), L.PReLU(shared_axes=(1, 2), alpha_initializer="ones")],
    "group_norm": lambda: [*convolution(), L.GroupNormalization(4)],
    "instance_norm": lambda: [*convolution(), L.GroupNormalization(-1)],
    "layer_norm": lambda: [*convolution(), L.LayerNormalization()],
}


@pytest.mark.ci
@pytest.mark.parametrize("body", BODIES)
def test_bodies_that_work_in_both_precisions(body, toy_images):
    model, images = built(BODIES[body]()), toy_images(16)
    wanted = np.asarray(model(images))
    for quantize, tolerance in ((None, 1e-4), ("int8", 0.1)):
        exported = lite.export(model, quantize, images)
        found = np.concatenate([lite.Interpreter(exported).run(image)["logits"] for image in images])
        assert np.abs(found - wanted).mean() < tolerance * max(np.abs(wanted).max(), 0.2)
    if "prelu" in body:
        assert "PRELU" in [each.name for each in lite.list_operators(exported)]


def test_what_the_quantiser_leaves_in_float_is_named(toy_images):
    body = [*convolution(), L.Activation(keras.ops.floor)]
    with pytest.raises(
        ValueError, match=r"quantiser leaves FLOOR in float, which makes .*; replace that layer, or export"
    ):
        lite.export(built(body), "int8", toy_images(4))


def test_export_on_another_backend_is_refused(monkeypatch):
    model = built(convolution())
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="needs Keras on TensorFlow, got the backend 'jax'"):
        lite.export(model)


def test_keras_own_export_to_litert_names_ours(tmp_path):
    with pytest.raises(ValueError, match=r"lite\.export"):
        built(convolution()).export(str(tmp_path / "model.tflite"), format="litert")


def test_keras_own_export_to_a_saved_model_is_as_in_keras(tmp_path, toy_images):
    import tensorflow as tf

    model, images = built(convolution()), toy_images(2).astype("float32")
    wanted = model(images)
    model.export(str(tmp_path / "saved"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.serve(images), wanted, atol=1e-5)
