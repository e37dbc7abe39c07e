"""Losses on answers: the compiled loss on every exit, and sample and class weights in every method."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import PerUnitGates, Policy
from keras_dynamic.layers import DynamicModel
from keras_dynamic.methods import IMTA, SGAD, ActivationGating, BlockDrop, LearnedExits, fit_guideline
from keras_dynamic.methods.method import Method
from tests.methods.answering import IMAGES, TASKS, WEIGHTS, network, step

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LABELS = np.arange(12) % 3
HALF = np.float32(np.arange(12) < 6)


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", ["imta", "learned"])
def test_the_compiled_loss_is_applied_to_every_exit(method, task, weights):
    found, by_hand = step(method, task, weights)
    assert found == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.ci
def test_so_it_is_on_jax():
    script = Path(__file__).with_name("answering.py")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(script.parents[2])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("backend") == "jax"
    assert len(found) == 4
    for name, (loss, by_hand) in found.items():
        assert loss == pytest.approx(by_hand, rel=1e-4), name


def policy():
    logits = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(2)])
    return Policy(logits, seed=0)


def methods():
    """Every method, as a function that makes it, and the names of its losses on answers."""
    chain = functools.partial(network, exits=False)
    teacher = DynamicModel(chain())
    return {
        "gating": (lambda: ActivationGating(chain(), teacher=teacher, weight_decay=0.1), ["distillation"]),
        "sgad": (lambda: SGAD(chain()), ["guideline"]),
        "curriculum": (lambda: BlockDrop(chain(), policy(), entropy_weight=0.1), ["policy"]),
        "finetuning": (
            lambda: BlockDrop(chain(), policy(), "finetuning", usage=0.5, hold="units", teacher=teacher),
            ["distillation", "policy"],
        ),
        "imta": (lambda: IMTA(network(), alpha=0.5), ["early"]),
        "learned": (lambda: LearnedExits(network(), teacher=teacher), ["early", "distillation"]),
        "method": (lambda: Method(chain(), PerUnitGates(), teacher=teacher), ["distillation"]),
    }


def compiled(made):
    keras.utils.set_random_seed(0)
    model = made()
    model.compile(keras.optimizers.SGD(0.1), LOSS, run_eagerly=True)
    model.build((None, 8, 8, 3))
    return model


@pytest.mark.parametrize("name", methods())
def test_weights_multiply_the_losses_on_answers_alone(name):
    made, on_answers = methods()[name]
    model = compiled(made)
    outcome = model.outcome(IMAGES, training=True)

    def losses(labels=LABELS, weights=None):
        found = model.outcome_losses(IMAGES, labels, outcome, weights)
        return {loss: float(value) for loss, value in found.items()}

    others = np.where(HALF, LABELS, (LABELS + 1) % 3)  # other labels where the weight is 0
    plain, doubled = losses(), losses(weights=2 * np.ones(12))
    half, changed = losses(weights=5 * HALF), losses(others, 5 * HALF)
    for loss, value in plain.items():
        assert value != 0
        assert doubled[loss] == pytest.approx((2 if loss in on_answers else 1) * value, rel=1e-5), loss
        assert changed[loss] == pytest.approx(half[loss], rel=1e-5), loss
        assert (half[loss] == value) == (loss not in on_answers), loss
    assert set(on_answers) <= set(plain)


@pytest.mark.parametrize("name", methods())
def test_class_weights_are_sample_weights(name):
    made, _ = methods()[name]
    steps = []
    for how in ({"class_weight": {0: 0.0, 1: 1.0, 2: 2.0}}, {"sample_weight": LABELS.astype("float32")}, {}):
        model = compiled(made)
        model.train_on_batch(IMAGES, LABELS, **how)
        steps.append(model.get_weights())
    for by_class, by_image in zip(*steps[:2], strict=True):
        np.testing.assert_allclose(by_class, by_image, atol=1e-6)
    assert any(np.abs(one - other).max() > 1e-5 for one, other in zip(steps[0], steps[2], strict=True))


def test_an_exit_learns_the_one_class_that_has_a_weight():
    rare = (np.arange(12) % 6 == 0).astype(int)
    model = IMTA(network(2))
    model.compile(keras.optimizers.Adam(0.05), LOSS)
    model.fit(IMAGES, rare, class_weight={0: 0.0, 1: 1.0}, epochs=10, verbose=0)
    assert (array(model.outcome(IMAGES).exits["early"]).argmax(-1) == 1).all()


@pytest.mark.ci
def test_the_guideline_takes_soft_labels_and_weights():
    model = compiled(lambda: SGAD(network(exits=False)))
    outcome = model.outcome(IMAGES, training=True)
    soft = TASKS["soft"][0]
    logits = array(model.guideline(IMAGES, training=True))
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    wanted = 0.3 * np.mean(-(soft * log_softmax).sum(axis=1) * WEIGHTS)
    assert float(model.outcome_losses(IMAGES, soft, outcome, WEIGHTS)["guideline"]) == pytest.approx(wanted, rel=1e-4)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return IMAGES, soft, np.zeros(12)

    nothing = fit_guideline(model, Batches(), epochs=1, verbose=0)
    assert nothing["guideline"] == [0.0]


@pytest.mark.parametrize("made", [IMTA, LearnedExits])
def test_exits_need_a_compiled_loss(made):
    model = made(network(), name="bare")
    model.compile("sgd")
    outcome = model.outcome(IMAGES, training=True)
    with pytest.raises(ValueError, match=r"model 'bare' applies the compiled loss to several logits, but has none"):
        model.outcome_losses(IMAGES, LABELS, outcome)


def test_exits_of_one_logit_have_accuracies():
    model = IMTA(network(1))
    model.compile("sgd", TASKS["binary"][2], metrics=["accuracy"])
    labels = TASKS["binary"][0]
    wanted = np.mean((array(model.outcome(IMAGES).exits["early"]).ravel() > 0) == np.ravel(labels))
    assert model.evaluate(IMAGES, labels, verbose=0, return_dict=True)["early_accuracy"] == pytest.approx(wanted)


@pytest.mark.parametrize(
    "made",
    [
        lambda: SGAD(network(1, False), constant_ratio=0.5),
        lambda: SGAD(network(1, False)),
        lambda: BlockDrop(network(1, False), policy()),
        lambda: IMTA(network(1), alpha=0.5),
        lambda: ActivationGating(network(1, False), teacher=DynamicModel(network(1))),
    ],
)
def test_one_logit_trains(made):
    model = made()
    model.compile("sgd", TASKS["binary"][2])
    assert np.isfinite(model.fit(IMAGES, TASKS["binary"][0], verbose=0).history["loss"]).all()


def test_labels_of_another_shape_are_an_error():
    model = compiled(methods()["curriculum"][0])
    outcome = model.outcome(IMAGES, training=True)
    with pytest.raises(
        ValueError, match=r"must have the shape \[batch, 3\] or \[batch\] or \[batch, 1\], got \[12, 5\]"
    ):
        model.outcome_losses(IMAGES, np.zeros((12, 5)), outcome)
