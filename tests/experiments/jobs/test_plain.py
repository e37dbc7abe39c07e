"""Cascades judged from their networks' answers."""

import numpy as np
import pytest

from keras_dynamic import data, models, zoo
from keras_dynamic.evaluation.evaluate import accuracy_shuffled, evaluate, static_twin
from keras_dynamic.experiments.jobs.evaluate_static import judge_stages


@pytest.mark.ci
def test_a_cascade_judged_by_its_stages_is_the_cascade_as_it_runs():
    images = data.shipped()
    x, y = images.x_test[:120], images.y_test[:120]
    model = models.cascade([zoo.load("resnet8_cifar10_45k"), zoo.load("resnet20_cifar10_45k")])
    model.fit_thresholds(images.x_heldout[:120], quantiles=[0.4])
    found = judge_stages(model, x, y)
    ran = evaluate(model, x, y)
    twin = static_twin(model, (x, y), (x, y), float(ran.macs.mean()))
    assert found["accuracy"] == ran.accuracy
    assert found["macs_mean"] == ran.macs.mean()
    assert found["distinct_paths"] == 2
    assert found["accuracy_static_twin"] == pytest.approx(twin.accuracy)
    assert found["accuracy_shuffled"] == pytest.approx(accuracy_shuffled(model, x, y, ran.decisions))
    assert np.isclose(found["margin_static_twin"], ran.accuracy - twin.accuracy)
