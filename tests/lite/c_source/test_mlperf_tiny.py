"""The networks of MLPerf Tiny the whole way: exported in int8, verified, in C, which is LiteRT's bit for bit."""

import shutil

import keras
import numpy as np
import pytest

from keras_dynamic import data, deciders, layers, lite, models, transform
from tests.lite.c_source.compiled import Compiled

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

OUTPUTS = ("logits", "decisions", "macs")


def spectrograms(count, seed=0):
    """Returns random cepstral coefficients: the first is far larger than the others."""
    rng = np.random.default_rng(seed)
    loud = rng.normal(-40, 15, (count, 49, 1, 1))
    return np.concatenate([loud, rng.normal(0, 6, (count, 49, 9, 1))], 2).astype(np.float32)


def held_against_litert(model, x, folder, outputs=("logits",)):
    """Exports a model, and holds its C against LiteRT's reference kernels on 20 inputs; returns their decisions."""
    content = lite.export(model, "int8", x, outputs)
    lite.verify(content)
    own, reference, decided = Compiled(content, folder), lite.Interpreter(content, kernels="reference"), []
    assert own.inputs[0].dtype == np.int8
    for each in x[:20]:
        found, wanted = own.run(each), reference.run(each, raw=True)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        decided.append(wanted.get("decisions"))
    return np.array(decided)


def test_spectrograms_that_stop_at_an_exit(tmp_path):
    keras.utils.set_random_seed(0)
    x = spectrograms(60)
    exited = transform.attach_exits(models.mlperf_tiny("keyword_spotting"), ["unit2"], filters=0)
    certain = deciders.Confidence()
    model = layers.DynamicModel(exited.chain, certain)
    model.build((None, 49, 10, 1))
    early = np.asarray(keras.ops.softmax(model.outcome(x).exits["exit1"])).max(-1)
    certain.set_thresholds([float(np.median(early))])
    decided = held_against_litert(model, x, tmp_path / "c", OUTPUTS)
    assert 0 < decided.mean() < 1


@pytest.mark.ci
@pytest.mark.parametrize("task", ["keyword_spotting", "anomaly_detection", "visual_wake_words"])
def test_the_networks_as_they_are(task, tmp_path):
    keras.utils.set_random_seed(1)
    model, rng = models.mlperf_tiny(task), np.random.default_rng(1)
    x = spectrograms(40) if task == "keyword_spotting" else rng.random((40, *model.input_shape[1:]), np.float32)
    held_against_litert(model, x, tmp_path / "c")


@pytest.mark.ci
def test_gates_on_the_resnet(tmp_path):
    keras.utils.set_random_seed(2)
    network, x = models.mlperf_tiny("image_classification"), data.shipped().x_heldout[:40]
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(x.astype("float32"), training=True)  # batch norm knows the images, as after a training
    model = layers.DynamicModel(models.from_functional(network), deciders.PerUnitGates(open_probability=0.5))
    model.build((None, 32, 32, 3))
    decided = held_against_litert(model, x, tmp_path / "c", OUTPUTS)
    assert decided.shape == (20, 1, 3)
    assert 0 < decided.mean() < 1
