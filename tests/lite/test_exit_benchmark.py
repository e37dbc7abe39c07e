"""Times to exits and figures under budgets. No test depends on a time."""

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite, ops, transform
from keras_dynamic.lite.benchmark import measure_budgets, measure_exits, times_in_turn


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (400, 8, 8, 3)).astype(np.uint8)


@pytest.fixture
def stopping(toy_chain, spread_exits, images):
    def head():
        return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]

    exits = [layers.Exit(head(), f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    model = layers.DynamicModel(toy_chain(units=3, exits=exits), deciders.Confidence())
    model.build((None, 8, 8, 3))
    spread_exits(model, images)
    return model


def alone(model, quantize=None, calibration=None):
    static = [transform.until_exit(model, name) for name in model.chain.exit_names] + [layers.DynamicModel(model.chain)]
    return [lite.export(each, quantize, calibration) for each in static]


@pytest.mark.ci
@pytest.mark.parametrize("quantize", [pytest.param(None, marks=pytest.mark.ci), "int8"], ids=["float32", "int8"])
def test_every_exit_has_a_time_and_a_ratio(quantize, stopping, images):
    dynamic = lite.export(stopping, quantize, images, ("logits", "decisions"), thresholds="input")
    found = measure_exits(dynamic, alone(stopping, quantize, images), images)
    assert [len(found[name]) for name in ("exit_ms", "exit_static_ms", "exit_latency_ratio")] == [3, 3, 3]
    for ratio, own, static in zip(found["exit_latency_ratio"], found["exit_ms"], found["exit_static_ms"], strict=True):
        assert ratio == pytest.approx(own / static)
        assert own > 0


def test_budgets_are_judged_on_all_images(stopping, images):
    held_out, x = images[:200], images[200:]
    dynamic = lite.export(stopping, None, held_out, ("logits", "decisions"), thresholds="input")
    macs = np.array([8 * 8 * 9 * (3 * 4 + 2 * 4 * 4 * k) + 12 * k for k in (1, 2)])  # stem, units and heads so far
    macs = np.append(macs, 8 * 8 * 9 * (3 * 4 + 2 * 4 * 4 * 3) + 12 * 3)
    outcome = layers.DynamicModel(stopping.chain).outcome(x)
    logits = np.stack([np.asarray(each) for each in (*outcome.exits.values(), outcome.logits)], axis=1)
    y = logits[:, 0].argmax(-1)
    certain = np.stack([np.asarray(ops.confidence(each, "max_probability")) for each in outcome.exits.values()], 1)
    found = measure_budgets(dynamic, alone(stopping)[-1], x, y)
    wanted = np.linspace(macs[0], macs[-1], 7)[1:-1]
    np.testing.assert_allclose([row["budget"] for row in found["budgets"]], wanted)
    for row, budget in zip(found["budgets"], wanted, strict=True):
        at = ops.stops(certain, lite.thresholds_for(dynamic, budget))
        assert row["macs_mean"] == pytest.approx(macs[at].mean())
        assert row["kept"] == pytest.approx(macs[at].mean() / budget)
        assert row["accuracy"] == pytest.approx((logits[np.arange(200), at].argmax(-1) == y).mean())
        np.testing.assert_allclose(row["stops"], np.bincount(at, minlength=3) / 200)
    assert found["budget_error"] == max(abs(row["kept"] - 1) for row in found["budgets"])
    assert found["accuracy_static"] == pytest.approx((logits[:, 2].argmax(-1) == y).mean())


def test_one_static_model_per_exit(stopping, images):
    dynamic = lite.export(stopping, None, images, ("logits", "decisions"), thresholds="input")
    with pytest.raises(ValueError, match=r"for each of the 3 exits, the head's last, got 1"):
        measure_exits(dynamic, [dynamic], images)


def test_thresholds_must_be_an_input(stopping, images):
    baked = lite.export(stopping, outputs=("logits", "decisions"))
    with pytest.raises(ValueError, match="export it with thresholds='input'"):
        measure_budgets(baked, baked, images, np.zeros(400, int))


def test_too_few_images(stopping, images):
    dynamic = lite.export(stopping, None, images, ("logits", "decisions"), thresholds="input")
    with pytest.raises(ValueError, match="at least 200 images and 5 repeats, got 50 and 5"):
        measure_exits(dynamic, [dynamic] * 3, images[:50])


def test_what_cannot_be_measured_is_told_first(stopping, images, monkeypatch):
    dynamic = lite.export(stopping, None, images[:200], ("logits", "decisions"), thresholds="input")
    monkeypatch.setattr(lite.Interpreter, "run", None)
    with pytest.raises(ValueError, match="at least 200 images and 5 repeats, got 50 and 5"):
        measure_budgets(dynamic, dynamic, images[:50], np.zeros(50, int))
    with pytest.raises(ValueError, match="budgets must be how many there are, a positive whole number, got 0"):
        measure_budgets(dynamic, dynamic, images, np.zeros(400, int), budgets=0)


def test_each_model_gets_its_own_images_and_inputs():
    class Runner:
        def __init__(self):
            self.seen = []

        def set(self, image, **given):
            self.seen.append((int(image), given))

        def invoke(self):
            pass

    first, second = Runner(), Runner()
    found = times_in_turn(
        {"a": first, "b": second},
        {"a": np.arange(200), "b": 1000 + np.arange(200)},
        given=lambda name, row: {"threshold": row} if name == "b" else {},
    )
    assert [found[name].shape for name in ("a", "b")] == [(200,), (200,)]
    assert sorted(first.seen) == [(k, {}) for k in range(200)]
    assert sorted(second.seen, key=lambda pair: pair[0]) == [(1000 + k, {"threshold": k}) for k in range(200)]
