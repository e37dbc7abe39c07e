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


def classifier(width, name, classes=3):
    keras.utils.set_random_seed(width)
    body = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(width, 3, padding="same", activation="relu")]
    body += [keras.layers.Conv2D(width, 3, padding="same", activation="relu")]
    answer = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes)]
    made = keras.Sequential([keras.Input((16, 16, 3)), *body, *answer], name=name)
    made.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    made.fit(*data(500, 0), epochs=2, verbose=0)
    return made


@pytest.mark.ci
def test_one_call_measures_exports_and_writes(tmp_path, capsys):
    model = models.cascade([classifier(2, "net"), classifier(16, "net")])  # both of one name
    held_out, test = data(300, 1), data(250, 2)
    model.fit_thresholds(held_out[0], quantiles=[0.3])
    page = report.create_report(model, test, held_out, tmp_path / "report", data="brightness")
    assert page == tmp_path / "report" / "report.html"
    found = json.loads((page.parent / "report.json").read_text())
    assert list(found["static"]) == ["net", "net_2"]
    assert found["systems"]["cascade"]["reference"] == "net_2"
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
    for name, message in (("static", "files are called 'static'"), ("my model", "name of letters, digits")):
        with pytest.raises(ValueError, match=message):
            report.create_report({name: one}, test, test, tmp_path)
    model = models.cascade([classifier(2, "small"), classifier(4, "large")])
    with pytest.raises(ValueError, match="class_names must be 3 names, one per class, got 1"):
        report.create_report(model, data(200, 0), data(200, 0), tmp_path, class_names=["a"])
    with pytest.raises(ValueError, match="all networks need the same classes, got 3 and 5"):
        report.create_report(model, data(200, 0), data(200, 0), tmp_path, static=classifier(4, "five", classes=5))
    with pytest.raises(ValueError, match=r"test must be \(inputs, labels\), or a data set of both, got no labels"):
        report.create_report(model, data(200, 0)[0], data(200, 0), tmp_path)
    assert not list(tmp_path.iterdir())
