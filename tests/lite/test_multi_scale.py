"""An exported multi-scale dense network answers as Keras; its exits are not in the file."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, lite, models
from keras_dynamic.deciders import Confidence
from keras_dynamic.layers import DynamicModel
from keras_dynamic.ops import confidence


def test_float32_answers_and_costs_as_keras():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    model = models.msdnet(num_classes=7, blocks=2, base=2, channels=4, growth=2)
    model.build((None, 32, 32, 3))
    exported = lite.export(model)
    runner = lite.Interpreter(exported)
    found = np.concatenate([runner.run(image)["logits"] for image in images])
    np.testing.assert_allclose(found, np.asarray(model(images)), atol=1e-5)
    assert np.ptp(found) > 0.01
    without_exits = sum(node.total_macs for node in model.cost_tree.children if not node.exit)
    assert lite.verify(exported).macs_all_on == without_exits < model.cost_tree.total_macs


@pytest.mark.ci
def test_a_network_that_stops_computes_before_an_exit_what_this_needs_alone():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    network = models.msdnet(num_classes=7, blocks=3, base=1, step=1, step_mode="even", channels=4, growth=2)
    model = DynamicModel(network.chain, Confidence())
    exits = model.outcome(images).exits
    model.decider.set_thresholds([float(np.median(confidence(logits))) for logits in exits.values()])
    outcome = model.outcome(images)
    exported = lite.export(model, outputs=("logits", "decisions", "macs"))
    verified = lite.verify(exported)  # MACs counted in the file are those of the cost table, decision by decision
    assert (verified.decisions, verified.conditionals) == (("exit1", "exit2"), 2)
    runner, unit = lite.Interpreter(exported), lite.read_metadata(exported)["macs_unit"]
    decisions = {name: np.asarray(value) for name, value in outcome.decisions.items()}
    macs = cost.given(model.cost_tree, decisions)
    for k, image in enumerate(images):
        answer = runner.run(image)
        np.testing.assert_allclose(answer["logits"][0], np.asarray(outcome.logits[k]), atol=1e-5)
        assert answer["macs"][0] * unit == macs[k]
    assert len(set(macs)) > 1
