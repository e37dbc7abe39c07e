"""A report on one's own network and data, in one call."""

import json

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite, models, report


def data(count, seed):
    """Images of three classes that differ in brightness, some of which are hard to tell."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    x = 60 + 60 * y[:, None, None, None] + rng.normal(0, 40, (count, 16, 16, 3))
    return x.clip(0, 255).astype(np.uint8), y


def classifier(width, name):
    keras.utils.set_random_seed(width)
    body = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(width, 3, padding="same", activation="relu")]
    body += [keras.layers.Conv2D(width, 3, padding="same", activation="relu")]
    answer = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    made = keras.Sequential([keras.Input((16, 16, 3)), *body, *answer], name=name)
    made.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    made.fit(*data(500, 0), epochs=2, verbose=0)
    return made


@pytest.mark.ci
def test_one_call_measures_exports_and_writes(tmp_path, capsys):
    model = models.cascade([classifier(2, "small"), classifier(16, "large")])
    held_out, test = data(300, 1), data(250, 2)
    model.fit_thresholds(held_out[0], quantiles=[0.3])
    page = report.create_report(model, test, held_out, tmp_path / "report", data="brightness")
    assert page == tmp_path / "report" / "report.html"
    found = json.loads((page.parent / "report.json").read_text())
    assert list(found["static"]) == ["small", "large"]
    assert (found["images"], found["held_out"], found["data"]) == (250, 300, "brightness: 250 test inputs")
    right = (np.asarray(model.predict(test[0], verbose=0)).argmax(-1) == test[1]).mean()
    assert found["systems"]["cascade"]["accuracy"] == pytest.approx(right)
    assert {path.name for path in (page.parent / "models").iterdir()} == {
        "static_float32.tflite",
        "static_int8.tflite",
        "cascade_float32.tflite",
        "cascade_int8.tflite",
        "cascade.keras",
    }
    for path in (page.parent / "models").glob("*.tflite"):
        lite.verify(path.read_bytes())
    text = page.read_text()
    assert "Take models/" in text
    assert "What to take" in text
    assert "cascade" in capsys.readouterr().out


def test_what_a_report_is_not_about(tmp_path):
    plain = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)], name="plain")
    test = np.zeros((200, 8, 8, 3), np.uint8), np.zeros(200, int)
    with pytest.raises(ValueError, match="networks that decide something, got 'plain', a Sequential"):
        report.create_report(plain, test, test, tmp_path)
    unit = layers.Residual(keras.layers.Conv2D(4, 3, padding="same"), name="unit")
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
    one = layers.DynamicModel(
        layers.Chain(keras.layers.Conv2D(4, 3), [unit], head), deciders.PerUnitGates(), name="one"
    )
    one.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match=r"classifiers of two classes or more .* got 'one' with logits"):
        report.create_report(one, test, test, tmp_path)
    assert not list(tmp_path.iterdir())
