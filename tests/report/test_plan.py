"""Will it pay? Estimates by hand, and a whole plan of a small network."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_dynamic as kd
from keras_dynamic.report import plan as module
from tests.report.test_create_report import classifier, data


def bench(y, accuracy=0.9, max_loss=0.01, exponent=0.5):
    probes = SimpleNamespace(whole=np.zeros((len(y), 2)))
    return module._Bench(None, probes, y, accuracy, max_loss, exponent)


def test_the_error_of_a_share_of_the_network():
    judged = bench(np.zeros(4, int))
    assert judged.accuracy_of(1.0) == pytest.approx(0.9)
    assert judged.accuracy_of(0.25) == pytest.approx(0.8)  # 0.1 / sqrt(0.25)
    assert judged.accuracy_of(0.0001) == 0.5  # that of chance


def test_stops_of_two_stages_by_hand():
    """Half of the inputs are told by the first stage, surely; the rest it calls wrong, unsurely."""
    y = np.tile([0, 0, 1, 1], 50)
    easy = np.tile([1, 1, 0, 0], 50).astype(bool)
    first = np.where(easy[:, None], 5 * np.eye(2)[y], 0.5 * np.eye(2)[1 - y])
    last = 5 * np.eye(2)[y]
    points, ceiling = module._stopping(bench(y), [first, last], [(0.2, 0.3), (1.2, 1.3)])
    assert ceiling == (pytest.approx(0.7), 1.0)
    assert points[0] == (pytest.approx(0.2), pytest.approx(0.3), 0.5)
    at_half = next(point for point in points if point[0] >= 0.69)
    assert at_half == (pytest.approx(0.7), pytest.approx(0.8), 1.0)


@pytest.mark.parametrize(
    ("points", "ceiling", "overhead", "least", "because"),
    [
        ([(0.5, 0.4, 0.89), (1.0, 1.0, 0.9)], (0.3, 0.95), 1.1, (0.5, 0.4), ""),
        ([(0.5, 0.4, 0.88), (1.0, 0.95, 0.9)], None, 1.0, (1.0, 0.95), "with its overhead it is expected to take 95 %"),
        ([(0.5, 0.8, 0.9)], None, 1.2, (0.5, 0.8), "with its overhead it is expected to take 96 %"),
        ([(0.5, 0.4, 0.88)], None, 1.0, None, "at less than its full cost it is expected to lose more than 1.0 points"),
        ([(0.5, 0.4, 0.9)], (0.95, 0.9), 1.0, (0.5, 0.4), "even an oracle would need 95 % of the MACs"),
    ],
)
def test_what_pays(points, ceiling, overhead, least, because):
    way = bench(np.zeros(4, int)).way("way", points, ceiling, overhead, "run")
    assert way.least == least
    assert way.because.startswith(because)
    assert bool(way.because) == bool(because)


@pytest.fixture(scope="module")
def residual():
    """A network with three units of which two can be skipped, and a head."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    for _ in range(2):
        inner = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(x)
        x = keras.layers.Add()([x, keras.layers.Conv2D(8, 3, padding="same")(inner)])
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)), name="residual")
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*data(500, 0), epochs=4, verbose=0)
    return model


@pytest.mark.ci
def test_a_whole_plan(residual, tmp_path):
    validation = data(400, 1)
    found = kd.plan(residual, data(500, 0), validation, folder=tmp_path / "plan", verbose=0)
    assert found.accuracy == pytest.approx(
        (residual.predict(validation[0], verbose=0).argmax(-1) == validation[1]).mean()
    )
    assert found.macs == kd.cost.tree(residual).total_macs
    names = [way.name.partition(" ")[0] for way in found.ways]
    assert {"cascade", "exits", "gates", "pruned"} <= {name.rstrip(",") for name in names}
    for way in found.ways:
        macs = [point[0] for point in way.points]
        assert macs == sorted(macs)
        assert all(0 <= point[2] <= 1 for point in way.points)
    text = str(found)
    assert "| way | MACs at equal accuracy |" in text
    assert ("Run first" in text) != ("No way pays here." in text)
    page = found.page.read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "Will it pay?" in page
    name = found.ways[0].name
    first, last = found.ways[0].points[0], found.ways[0].points[-1]
    assert found.accuracy_at(name, first[0]) == pytest.approx(first[2])
    assert found.accuracy_at(name, 10.0) == pytest.approx(last[2])


@pytest.mark.ci
def test_a_network_without_places_says_why(tmp_path):
    found = kd.plan(classifier(4, "small"), None, data(300, 1), verbose=0)
    because = {way.name: way.because for way in found.ways}
    assert because["gates"] == "no unit of the network can be skipped: none has a shortcut around it"
    assert found.page is None


def test_what_a_plan_is_not_made_for(residual):
    validation = data(300, 1)
    with pytest.raises(ValueError, match="at least 200 validation inputs, got 100; give more"):
        kd.plan(residual, None, tuple(part[:100] for part in validation))
    with pytest.raises(ValueError, match=r"validation must be \(inputs, labels\), or a data set of both"):
        kd.plan(residual, None, (validation[0],))
    with pytest.raises(ValueError, match=r"data must be \(inputs, labels\)"):
        kd.plan(residual, (validation[0],), validation)
    for exits in ([], "unit1", ["zz"]):
        with pytest.raises(ValueError, match="exits must be a list of units before the last"):
            kd.plan(residual, None, validation, exits=exits)
    with pytest.raises(ValueError, match="max_loss must be"):
        kd.plan(residual, None, validation, max_loss=2)
    chain = kd.models.from_functional(residual)
    gated = kd.layers.DynamicModel(chain, kd.deciders.PerUnitGates(), name="gated")
    gated.build((None, 16, 16, 3))
    with pytest.raises(ValueError, match="static network without exits, got 'gated'"):
        kd.plan(gated, None, validation)
    values = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="classifiers of two classes or more"):
        kd.plan(values, None, validation)
