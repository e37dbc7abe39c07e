"""Every task with every method: trained on rendered images, exported in both precisions, with the answers of Keras."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_dynamic import deciders, evaluation, lite, methods, models
from keras_dynamic.layers import Chain, DynamicModel, Exit, Residual

SIDE = 8


def pictures(count=80, seed=0):
    """Grey images [count, 8, 8, 1] of a bright rectangle on noise, and where it lies, [count, 8, 8]."""
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 0.4, (count, SIDE, SIDE, 1)).astype(np.float32)
    masks = np.zeros((count, SIDE, SIDE), int)
    for image, mask in zip(images, masks, strict=True):
        (top, left), (height, width) = rng.integers(0, 4, 2), rng.integers(2, 5, 2)
        image[top : top + height, left : left + width] += 0.6
        mask[top : top + height, left : left + width] = 1
    return images, masks


IMAGES, MASKS = pictures()
AREA = MASKS.mean(axis=(1, 2))
HALVES = np.stack([MASKS[:, :4].mean(axis=(1, 2)), MASKS[:, :, :4].mean(axis=(1, 2))], axis=1) > 0.1


@keras.saving.register_keras_serializable("test_method_tasks")
def extreme(values):
    return ops.abs(values[:, 0] - 0.15)


# Labels, loss, number of logits and confidence of each task.
TASKS = {
    "one logit": ((AREA > 0.14).astype(int), keras.losses.BinaryCrossentropy(from_logits=True), 1, "max_probability"),
    "labels": (HALVES.astype(int), keras.losses.BinaryCrossentropy(from_logits=True), 2, "label_probability"),
    "values": (AREA[:, None].astype(np.float32), keras.losses.MeanSquaredError(), 1, extreme),
    "pixels": (MASKS, keras.losses.SparseCategoricalCrossentropy(from_logits=True), 2, "max_probability"),
}


def head(task, count):
    if task == "pixels":
        return [layers.Conv2D(count, 1)]
    return [layers.GlobalAveragePooling2D(), layers.Dense(count)]


def chain(task, exits=False, width=4):
    keras.utils.set_random_seed(1)
    count = TASKS[task][2]

    def body():
        return [layers.Conv2D(width, 3, padding="same", activation="relu"), layers.Conv2D(width, 3, padding="same")]

    units = [Residual(body(), activation="relu", name=f"unit{k}") for k in range(3)]
    early = [Exit(head(task, count), after=f"unit{k}", name=f"exit{k}") for k in range(2)] if exits else []
    return Chain([layers.Conv2D(width, 3, padding="same", activation="relu")], units, head(task, count), early)


def gates(task):
    return methods.ActivationGating(chain(task), target=0.5, teacher=DynamicModel(chain(task)))


def confidence(task):
    return methods.IMTA(chain(task, exits=True), decider=deciders.Confidence(TASKS[task][3]), alpha=0.5)


def learned(task):
    return methods.LearnedExits(chain(task, exits=True), deciders.ExitGates(widths=(4,), pool=4), target=0.5)


def reward(task):
    return methods.BlockDrop(chain(task), deciders.SequentialPolicy(seed=0))


def shared_ratio(task):
    return methods.SGAD(chain(task), constant_ratio=0.5, decider=deciders.BinaryMaskNetwork(grid=2, seed=0))


MAKERS = [gates, confidence, learned, reward, shared_ratio]
REFUSED = {("values", reward): "neither right nor wrong"}


def trained(make, task, epochs=3):
    labels, loss, _, _ = TASKS[task]
    model = make(task)
    model.compile(keras.optimizers.Adam(0.01), loss)
    history = model.fit(IMAGES, labels, epochs=epochs, batch_size=16, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    return model


def check_file(model):
    """The file's logits are Keras', in int8 nearly so for the same decisions."""
    outcome = model.outcome(IMAGES[:12])
    wanted = ops.convert_to_numpy(outcome.logits)
    decided = np.array([ops.convert_to_numpy(value) for value in outcome.decisions.values()]).T
    for quantize, tolerance in ((None, 1e-4), ("int8", 0.15 * np.ptp(wanted) + 0.02)):
        content = lite.export(model, quantize, IMAGES, outputs=("logits", "decisions"))
        runner = lite.Interpreter(content)
        found = [runner.run(image) for image in IMAGES[:12]]
        same = np.ones(12, bool)
        if "decisions" in found[0] and lite.read_metadata(content)["decisions"] == list(outcome.decisions):
            same = (np.concatenate([each["decisions"] for each in found]) == decided).all(axis=1)
        assert same.mean() >= (1 if quantize is None else 0.25)
        logits = np.concatenate([each["logits"] for each in found])
        np.testing.assert_allclose(logits[same], wanted[same], atol=tolerance)


CASES = [
    pytest.param(task, make, marks=() if task == "labels" and make in (gates, confidence) else pytest.mark.ci)
    for task in TASKS
    for make in MAKERS
    if (task, make) not in REFUSED
]


@pytest.mark.parametrize(("task", "make"), CASES)
def test_trained_and_exported(task, make):
    model = trained(make, task)
    if make is confidence:
        sure = np.median(ops.convert_to_numpy(_confidence_of(model, task)))
        model.decider.set_thresholds([sure, sure])
    check_file(model)
    if task == "values":
        with pytest.raises(ValueError, match=r"a regression has not; .*model.evaluate"):
            evaluation.evaluate(model, IMAGES, TASKS[task][0])
    else:
        least = 0.0 if make is reward else 0.3  # the chain itself is not trained
        assert least < evaluation.evaluate(model, IMAGES, TASKS[task][0]).accuracy <= 1


def _confidence_of(model, task):
    from keras_dynamic.ops import confidence as measured

    return measured(model.outcome(IMAGES).exits["exit0"], TASKS[task][3])


@pytest.mark.parametrize(("case", "message"), REFUSED.items())
def test_what_cannot_be_is_one_sentence(case, message):
    task, make = case
    with pytest.raises(ValueError, match=message):
        trained(make, task, epochs=1)


@pytest.mark.parametrize("task", ["labels", pytest.param("one logit", marks=pytest.mark.ci), "pixels"])
def test_cascades(task):
    labels, loss, _, kind = TASKS[task]
    networks = []
    for width in (3, 6):
        network = DynamicModel(chain(task, width=width), name=f"net{width}")
        network.compile(keras.optimizers.Adam(0.01), loss)
        network.fit(IMAGES, labels, epochs=4, batch_size=16, verbose=0)
        networks.append(network)
    model = models.cascade(networks, confidence=kind)
    fitted = model.fit_thresholds(IMAGES, labels, macs=0.7 * model.cost_tree.total_macs)
    found = evaluation.evaluate(model, IMAGES, labels)
    assert fitted.accuracy == pytest.approx(found.accuracy)
    assert fitted.spent == pytest.approx(found.macs.mean())
    assert fitted.spent <= 0.7 * model.cost_tree.total_macs
    check_file(model)


def test_a_cascade_of_one_logit_saves_what_two_classes_save():
    """A network of two logits 0 and z is the same classifier as one of the logit z: the same thresholds and MACs."""
    labels, loss, _, _ = TASKS["one logit"]
    fitted = []
    networks = []
    for width in (3, 6):
        network = DynamicModel(chain("one logit", width=width), name=f"net{width}")
        network.compile(keras.optimizers.Adam(0.01), loss)
        network.fit(IMAGES, labels, epochs=2, batch_size=16, verbose=0)
        networks.append(network)
    for classes in (1, 2):
        members = networks if classes == 1 else [_with_two(network) for network in networks]
        fitted.append(models.cascade(members).fit_thresholds(IMAGES, labels))
    one, two = fitted
    assert one.accuracy == two.accuracy
    assert one.spent == pytest.approx(two.spent, rel=0.02)
    np.testing.assert_allclose(one.thresholds, two.thresholds, rtol=1e-4)


def _with_two(network):
    given = keras.Input((SIDE, SIDE, 1))
    logit = network(given)
    both = layers.Dense(2, use_bias=False, name="both")
    both.build((None, 1))
    both.kernel.assign([[0.0, 1.0]])
    return keras.Model(given, both(logit), name=f"{network.name}_two")
