"""The reference networks of MLPerf Tiny: shapes, costs and parameters as published, and what can be decided in them."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, models, transform


def convolutions(*sizes):
    """Returns the MACs of layers: side by side the positions, the taps, the channels in and out of each."""
    return sum(positions * taps * channels * filters for positions, taps, channels, filters in sizes)


def separable(*sizes):
    """Returns the MACs of separable 3x3 convolutions: positions, channels in and out of each."""
    return sum(positions * channels * (9 + filters) for positions, channels, filters in sizes)


# Network: input, outputs, MACs by hand, parameters as the benchmark's own models have them.
EXPECTED = {
    "image_classification": (
        (32, 32, 3),
        10,
        convolutions(
            *((1024, 9, 3, 16), (1024, 9, 16, 16), (1024, 9, 16, 16)),
            *((256, 9, 16, 32), (256, 9, 32, 32), (256, 1, 16, 32)),
            *((64, 9, 32, 64), (64, 9, 64, 64), (64, 1, 32, 64)),
        )
        + 64 * 10,
        78_666,
    ),
    "keyword_spotting": (
        (49, 10, 1),
        12,
        25 * 5 * 10 * 4 * 64 + separable(*4 * [(25 * 5, 64, 64)]) + 64 * 12,
        24_908,
    ),
    "visual_wake_words": (
        (96, 96, 3),
        2,
        48 * 48 * 9 * 3 * 8
        + separable((48 * 48, 8, 16), (24 * 24, 32, 32), (12 * 12, 64, 64), *5 * [(36, 128, 128)], (9, 256, 256))
        # those of stride 2 have the depthwise part at the size of their outputs
        + separable((24 * 24, 16, 32), (12 * 12, 32, 64), (36, 64, 128), (9, 128, 256))
        + 256 * 2,
        221_794,
    ),
    "anomaly_detection": ((640,), 640, 2 * (640 * 128 + 3 * 128 * 128 + 128 * 8), 269_992),
}
PUBLISHED = {
    "image_classification": 12_501_632,
    "keyword_spotting": 2_656_768,
    "visual_wake_words": 7_489_664,
    "anomaly_detection": 264_192,
}


@pytest.mark.parametrize("task", EXPECTED)
def test_shapes_costs_and_parameters(task):
    network = models.mlperf_tiny(task)
    taken, given, macs, parameters = EXPECTED[task]
    assert network.input_shape == (None, *taken)
    assert network.output_shape == (None, given)
    assert cost.tree(network).total_macs == macs == PUBLISHED[task]
    assert network.count_params() == parameters


def under(model, value):
    """Returns the MACs of a model with all decisions at a value."""
    return cost.given(model.cost_tree, dict.fromkeys(model.decision_names, np.full(1, value))).item()


def test_gates_skip_units_of_the_resnet():
    network = models.mlperf_tiny("image_classification")
    model = layers.DynamicModel(models.from_functional(network), deciders.PerUnitGates())
    model.build((None, 32, 32, 3))
    assert model.decision_names == ["unit1", "unit2", "unit3"]
    deciding = under(model, 1.0) - PUBLISHED["image_classification"]
    left = convolutions((1024, 9, 3, 16), (256, 1, 16, 32), (64, 1, 32, 64)) + 640  # stem, shortcuts and head
    assert under(model, 0.0) == left + deciding
    assert 0 < deciding < 0.01 * under(model, 1.0)


@pytest.mark.parametrize(
    ("task", "after"), [("keyword_spotting", ["unit2"]), ("visual_wake_words", ["unit5", "unit11"])]
)
def test_exits_stop_the_others_early(task, after):
    network = models.mlperf_tiny(task)
    model = transform.attach_exits(network, after, filters=0)
    assert model.chain.exit_names == [f"exit{k + 1}" for k in range(len(after))]
    stopping = layers.DynamicModel(model.chain, deciders.Confidence())
    stopping.build(network.input_shape)
    assert under(stopping, 0.0) < 0.75 * PUBLISHED[task]


def test_the_autoencoder_gives_what_it_takes():
    network = models.mlperf_tiny("anomaly_detection")
    x = keras.random.normal((3, 640))
    assert network(x).shape == x.shape


def test_an_unknown_task():
    with pytest.raises(ValueError, match=r"got 'keyword' \(did you mean 'keyword_spotting'\?\)"):
        models.mlperf_tiny("keyword")
