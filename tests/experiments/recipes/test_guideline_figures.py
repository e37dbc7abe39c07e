"""What a guideline whose logits are the images' colours asks for, against units run; what a training measures of it."""

import keras
import numpy as np
import pytest
from keras import layers

from configs import sgad as sgad_config
from keras_dynamic import zoo
from keras_dynamic.evaluation import evaluate
from keras_dynamic.evaluation.gradients import gradient_magnitudes
from keras_dynamic.experiments import Run, Splits
from keras_dynamic.experiments.recipes import RECIPES
from keras_dynamic.experiments.recipes.sgad import guideline_figures
from keras_dynamic.methods import SGAD
from tests.methods.learning import chain

REDS = np.array([0.0, 1.0, 2.0, 3.0, 4.0])  # logits (red, 0, 0): the more red, the easier


@pytest.fixture
def images():
    found = np.zeros((5, 8, 8, 3), np.float32)
    found[..., 0] = REDS[:, None, None]
    return found


def sgad(**kwargs):
    model = SGAD(chain(4), s_max=0.8, **kwargs)
    model.build((None, 8, 8, 3))
    return model


def decisions_of(units):
    """Decisions of the first three of four units under which images run so many."""
    return {f"unit{k + 1}": (np.asarray(units) > k).astype(np.float32) for k in range(3)}


@pytest.mark.parametrize(
    ("units", "rho"),
    [([3, 2, 2, 1, 0], 9.5 / np.sqrt(95)), ([0, 0, 1, 2, 3], -9.5 / np.sqrt(95)), ([2, 2, 2, 2, 2], 0.0)],
)
def test_rank_correlation_is_positive_where_the_difficult_run_more(units, rho, images):
    model = sgad(guideline=keras.Sequential([layers.GlobalAveragePooling2D()]))
    found = guideline_figures(model, images, decisions_of(units), batch_size=2)
    assert found["rank_correlation"] == pytest.approx(rho)
    chances = np.exp(REDS) / (np.exp(REDS) + 2)
    variances = (chances**2 + 2 * ((1 - chances) / 2) ** 2) / 3 - 1 / 9
    assert found["expected_units_mean"] == pytest.approx(4 * np.mean(0.2 ** (3 * variances)), rel=1e-5)


def test_without_a_guideline_there_is_nothing_to_compare(images):
    assert guideline_figures(sgad(constant_ratio=0.25), images, decisions_of([1, 2, 3, 0, 0])) == {
        "expected_units_mean": 3.0
    }


def test_the_guideline_is_in_inference_mode(images):
    guideline = keras.Sequential([layers.GlobalAveragePooling2D(), layers.BatchNormalization(), layers.Dropout(0.9)])
    model = sgad(guideline=guideline)
    found = [guideline_figures(model, images, decisions_of([3, 2, 1, 1, 0]), size) for size in (5, 1)]
    assert found[0] == pytest.approx(found[1])
    assert found[0]["rank_correlation"] > 0.9


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 32, 32, 3)).astype(np.uint8), rng.integers(0, 10, 40)
    return Splits((x[:24], y[:24]), (x[24:32], y[24:32]), (x[32:], y[32:]), tuple("abcdefghij"))


def config_of(weights, guided=True):
    config = sgad_config.defaults()
    config.network.depth, config.network.weights, config.method.guided = 8, weights, guided
    return config


def test_the_method_measures_the_plain_network_where_it_was_trained(splits):
    config = config_of("zoo:resnet8_cifar10_45k")
    run = Run(config, splits)
    found = run.recipe.measure(run, evaluate(run.model, *splits.test))
    assert set(found) == {"expected_units_mean", "rank_correlation", "tau_sweep", "gradient_magnitudes"}
    plain = gradient_magnitudes(zoo.load("resnet8_cifar10_45k"), *splits.train)
    assert found["gradient_magnitudes"] == pytest.approx(plain)
    assert list(plain) == ["stage1_unit1", "stage2_unit1", "stage3_unit1"]
    assert 0.6 < found["expected_units_mean"] <= 3


def test_from_scratch_and_unguided_only_what_was_asked_is_left(splits):
    config = config_of("", guided=False)
    run = Run(config, splits)
    found = run.recipe.measure(run, evaluate(run.model, *splits.test))
    assert set(found) == {"expected_units_mean", "tau_sweep"}
    assert found["expected_units_mean"] == 1.5  # half of three units


def test_what_has_no_thresholds_has_no_figures_of_its_own():
    assert RECIPES["fixed"].measure(None, None) == {}
