"""Latency, overhead and accuracy of small models. No test depends on a time."""

import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite, models
from keras_dynamic.lite import benchmark as bench
from keras_dynamic.lite.metadata import spent_on_parts


@pytest.fixture(scope="module")
def system():
    model = layers.DynamicModel(models.resnet_cifar(8, width=4).chain, deciders.PerUnitGates(seed=0))
    model.build((None, 32, 32, 3))
    for gate, logit in zip(model.decider.gates.values(), (4.0, -4.0, 4.0), strict=True):
        gate.bias.assign([0.0, logit])
    all_on = lite.export(layers.DynamicModel(model.chain))
    dynamic = lite.export(model, outputs=("logits", "decisions"))
    return model, bench.Models(all_on, dynamic, all_on)


def images(count):
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def test_answers_are_those_of_keras(system):
    model, tflite = system
    x = images(8)
    found = bench.answers(tflite.dynamic, x)
    outcome = model.outcome(x, training=False)
    np.testing.assert_allclose(found.logits, np.asarray(outcome.logits), atol=1e-4)
    for name, value in outcome.decisions.items():
        np.testing.assert_array_equal(found.decisions[name], np.asarray(value))


def test_figures_hold_together(system):
    model, tflite = system
    x = images(200)
    y = bench.answers(tflite.static, x).logits.argmax(-1)
    found = bench.benchmark(tflite, x, y)
    assert found["accuracy_static"] == 1.0
    assert list(found["unit_ms"]) == ["stem", "stage1_unit1", "stage2_unit1", "stage3_unit1", "head"]
    assert sum(found["unit_ms"].values()) == pytest.approx(found["latency_all_on_ms"])
    assert found["activation_rates"] == {"stage1_unit1": 1.0, "stage2_unit1": 0.0, "stage3_unit1": 1.0}
    expected = cost.given(model.cost_tree, {name: np.array([rate]) for name, rate in found["activation_rates"].items()})
    assert found["macs_mean"] == expected[0]
    assert found["macs_share"] == pytest.approx(expected[0] / model.chain.cost_node(layers.Always()).total_macs)
    assert found["latency_per_mac"] == pytest.approx(found["latency_share"] / found["macs_share"])
    ran = sum(ms for name, ms in found["unit_ms"].items() if name != "stage2_unit1")
    assert found["overhead_with_decider"] == pytest.approx(found["latency_dynamic_ms"] / ran)
    assert found["overhead"] == pytest.approx((found["latency_dynamic_ms"] - found["decider_ms"]) / ran)
    assert found["size_static_bytes"] == len(tflite.static)


@pytest.mark.parametrize(("count", "repeats"), [(199, 5), (200, 4)])
def test_too_little_to_time_is_refused(system, count, repeats):
    with pytest.raises(ValueError, match="at least 200 images and 5 repeats"):
        bench.measure_latency(system[1], images(count), repeats)


def test_labels_and_images_are_checked_first(system):
    x = images(4).astype(np.float32)
    for y, message in ((np.arange(4) + 97, "class numbers from 0 to 9, got some from 97"), ([0], "y must be 4 labels")):
        with pytest.raises(ValueError, match=message):
            bench.benchmark(system[1], x, y)
    x[2, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="got NaN or infinity in image 2 of 4"):
        bench.benchmark(system[1], x, [0, 1, 2, 3])


def test_the_yardstick_counts_what_runs():
    """An exit's head, a unit behind it, one with a group of channels too, and one that no decision names."""
    unit_ms = {"stem": 1.0, "exit": 0.5, "unit1": 2.0, "unit2": 8.0}
    parts = {
        "exit": [{"macs": 4, "when": [], "unless": ["exit"]}],
        "unit1": [{"macs": 10, "when": ["exit"]}],
        "unit2": [{"macs": 6, "when": ["exit"]}, {"macs": 2, "when": ["exit", "unit2[1]"]}],
    }
    decisions = {"exit": np.array([0, 1, 1]), "unit2[1]": np.array([1, 0, 1])}
    np.testing.assert_allclose(spent_on_parts(unit_ms, decisions, parts, 3), [1 + 0.5, 1 + 2 + 6, 1 + 2 + 8])
