import keras
import pytest

from keras_dynamic.experiments.jobs.keras_models import compared, overheads


@pytest.mark.ci
def test_figures_of_a_model():
    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35)
    figures = compared(model)
    assert (figures["units"], figures["units_skippable"]) == (14, 10)
    assert figures["difference"] < 1e-5
    assert 0 < figures["skippable_share"] < 1
    assert set(overheads(model, ["int8"])) == {"overhead_int8"}
