"""Binary classifiers of one logit: answers are counted by its sign; what needs classes refuses it in one sentence."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import evaluation, lite, methods, ops, serving, transform
from keras_dynamic.deciders import Confidence, Patience, PerUnitGates
from keras_dynamic.layers import DynamicModel, Exit

REFUSED = "two classes or more, got 1 per image, as of a binary classifier or a regression; end a binary classifier in"


@pytest.fixture
def binary(toy_chain):
    """Function (exits=()) -> built chain of one logit for 8x8 RGB images."""

    def make(exits=()):
        heads = [Exit([layers.GlobalAveragePooling2D(), layers.Dense(1)], f"unit{k}", name=f"exit{k}") for k in exits]
        chain = toy_chain(classes=1, exits=heads)
        chain.build((None, 8, 8, 3))
        return chain

    return make


def test_patience_counts_the_answers_of_one_logit(binary, toy_images, spread_exits):
    model = DynamicModel(binary([1, 2]), Patience())
    model.build((None, 8, 8, 3))
    images = toy_images(20)
    spread_exits(model, images)
    outcome = model.outcome(images)
    positive = [keras.ops.convert_to_numpy(outcome.exits[name])[:, 0] > 0 for name in ("exit1", "exit2")]
    going = keras.ops.convert_to_numpy(outcome.decisions["exit2"])
    np.testing.assert_array_equal(going, positive[0] != positive[1])
    assert 0 < going.sum() < 20


@pytest.mark.parametrize(
    ("measure", "expected"), [("max_probability", 0.75), ("entropy", 0.1887219), ("margin", 1.0986123)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_confidence_of_one_logit_is_that_of_two_classes(measure, expected, sign):
    """Of a logit ln 3: probabilities 3/4 and 1/4, an entropy of 0.8112781 bits, a margin of ln 3."""
    logits = np.array([[sign * np.log(3.0)]], np.float32)
    np.testing.assert_allclose(ops.confidence(logits, measure), [expected], rtol=1e-5)


def test_exits_of_one_logit_stop_the_confident_images_in_keras_and_in_a_file(binary, toy_images, spread_exits):
    model = DynamicModel(binary([1]), Confidence())
    model.build((None, 8, 8, 3))
    images = toy_images(20)
    spread_exits(model, images)
    logits = keras.ops.convert_to_numpy(model.outcome(images).exits["exit1"])[:, 0]
    certain = 1 / (1 + np.exp(-np.abs(logits.astype(np.float64))))
    model.decider.set_thresholds([float(np.median(certain))])
    going = keras.ops.convert_to_numpy(model.outcome(images).decisions["exit1"])
    np.testing.assert_array_equal(going, certain < np.median(certain))
    assert going.sum() == 10
    runner = lite.Interpreter(lite.export(model, outputs=("logits", "decisions")))
    np.testing.assert_array_equal([runner.run(image)["decisions"][0, 0] for image in images], going)


def _static(model):
    made = DynamicModel(model.chain)
    made.build((None, 8, 8, 3))
    return made


@pytest.mark.parametrize(
    "judge",
    [
        lambda model, x, y: serving.serve(model, [x]),
        lambda model, x, y: transform.decision_importance(model, [(x, y)]),
        lambda model, x, y: evaluation.inference_figures(model, x, y),
        lambda model, x, y: evaluation.gradient_variances(_static(model), x, y, batch_size=2),
    ],
)
def test_what_needs_classes_is_refused(judge, binary, toy_images):
    model = DynamicModel(binary([1]), PerUnitGates())
    model.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match=REFUSED):
        judge(model, toy_images(), np.arange(6) % 2)


def test_right_answers_are_counted(binary, toy_images, spread_gates, spread_exits):
    images, labels = toy_images(20), np.arange(20) % 2
    gated = DynamicModel(binary(), PerUnitGates())
    gated.build((None, 8, 8, 3))
    spread_gates(gated, images)
    logits = keras.ops.convert_to_numpy(gated(images))[:, 0]
    wanted = np.mean((logits > np.median(logits)) == labels)
    gated.chain.head.layers[-1].bias.assign(gated.chain.head.layers[-1].bias - np.median(logits))
    found = evaluation.evaluate(gated, images, labels)
    assert found.accuracy == found.figures()["accuracy"] == pytest.approx(wanted)
    assert 0 < evaluation.static_twin(gated, (images, labels), (images, labels), 9e4).accuracy < 1
    assert len(evaluation.tau_sweep(gated, images, labels, taus=(0.3, 0.5))) == 2
    exits = DynamicModel(binary([1]), Confidence())
    exits.build((None, 8, 8, 3))
    spread_exits(exits, images)
    early = keras.ops.convert_to_numpy(exits.outcome(images).exits["exit1"])[:, 0]
    figures = evaluation.exit_figures(exits, (images, labels), (images, labels), budgets=2)
    assert figures["exits"][0]["accuracy"] == pytest.approx(np.mean((early > 0) == labels))
    point = evaluation.fit_budget(exits, images, macs=exits.cost_tree.total_macs, y=labels)
    assert point.accuracy == pytest.approx(evaluation.evaluate(exits, images, labels).accuracy)


@pytest.mark.ci
def test_decisions_need_no_classes(binary, toy_images, spread_gates):
    """A binary network with gates is run, judged without labels, pruned and trained by its own loss."""
    images = toy_images(20)
    model = methods.ActivationGating(binary(), PerUnitGates())
    model.build((None, 8, 8, 3))
    spread_gates(model, images)
    found = evaluation.evaluate(model, images)
    assert found.logits.shape == (20, 1)
    assert found.predictions is found.labels is None
    assert np.isnan(found.accuracy)
    transform.prune_dead_units(model, images)
    evaluation.fit_usage(model, images, 0.5)
    evaluation.fit_budget(model, images, macs=0.9 * model.cost_tree.total_macs)
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(images, np.arange(20) % 2, verbose=0)


@pytest.mark.parametrize("method", [methods.BlockDrop, methods.SGAD])
def test_labels_of_several_classes_or_none_are_refused_before_training(method, toy_chain, toy_images):
    chain = toy_chain()
    chain.build((None, 8, 8, 3))
    model = method(chain)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.build((None, 8, 8, 3))
    for y, message in (
        (np.array([[1, 1, 0]] * 6), "must sum to 1 for each image, got others, as of a multi-label task"),
        (np.linspace(0, 1, 6), "as of a regression"),
        (np.arange(6) % 3 + 1, "class numbers from 0 to 2, got some from 1 to 3"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(toy_images(), y, verbose=0)
