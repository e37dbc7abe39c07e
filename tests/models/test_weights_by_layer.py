"""Arrays by layer from a model and from each kind of file that Keras writes."""

import keras
import numpy as np
import pytest

from keras_dynamic.models.import_weights import weights_by_layer


@pytest.fixture
def model():
    layers = keras.layers
    body = [layers.Conv2D(2, 3, name="first"), layers.ReLU(), layers.BatchNormalization(name="norm")]
    body += [layers.DepthwiseConv2D(3, name="deep"), layers.Conv2D(4, 1, use_bias=False, name="second")]
    made = keras.Sequential([keras.Input((8, 8, 3)), *body])
    rng = np.random.default_rng(0)
    made.set_weights([rng.normal(size=each.shape) for each in made.get_weights()])
    return made


@pytest.mark.parametrize("ending", [None, ".weights.h5", ".keras", ".h5"])
def test_every_source_says_the_same(ending, model, tmp_path):
    source = model
    if ending:
        source = tmp_path / f"file{ending}"
        (model.save_weights if "weights" in ending else model.save)(source)
    found = weights_by_layer(source)
    assert found.keys() == {"first", "norm", "deep", "second"}
    for name, arrays in found.items():
        for array, wanted in zip(arrays, model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(array, wanted)


def test_a_file_without_names_is_an_error(model, tmp_path):
    import h5py

    path = tmp_path / "early.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "r+") as file:
        file.visititems(lambda name, group: group.attrs.pop("name", None) and None)
    with pytest.raises(ValueError, match="has no names of layers, as files of early versions of Keras 3; load it into"):
        weights_by_layer(path)
