import keras
import pytest

from configs import models
from keras_dynamic.experiments.jobs.fit_memory import fit_memory
from keras_dynamic.experiments.jobs.keras_models import compared, overheads


@pytest.mark.ci
def test_figures_of_a_model():
    keras.utils.set_random_seed(0)
    options = {"weights": None, "input_shape": (32, 32, 3), "alpha": 0.35}
    model = keras.applications.MobileNetV2(**options)
    figures = compared(model, keras.applications.MobileNetV2(**options, classifier_activation=None))
    assert (figures["units"], figures["units_skippable"]) == (14, 10)
    assert figures["logits_difference"] < 1e-5
    assert 0 < figures["skippable_share"] < 1
    assert set(overheads(model, ["int8"])) == {"overhead_int8"}


@pytest.mark.ci
def test_memory_of_fitting():
    config = models.get_config()
    config.cascade, config.images, config.published_size = ("MobileNetV2", "MobileNet"), 20, 32
    figures = fit_memory(config)
    assert figures["images_bytes"] == 20 * 32 * 32 * 3
    assert 1e8 < figures["peak_memory_bytes"] < 2e10
