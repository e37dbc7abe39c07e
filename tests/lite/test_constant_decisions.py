"""Decisions that follow from a threshold's value: nothing of them is in the file, and it answers and costs as Keras."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite, models

HEAD = 4 * 3  # MACs of an exit or the head
GATES = {
    "gates": (deciders.PerUnitGates, {"hidden": 4}),
    "sequential": (deciders.SequentialPolicy, {}),
    "bmnet": (deciders.BinaryMaskNetwork, {"always": ()}),
    "policy": (lambda: deciders.Policy(classifier("policy", outputs=3)), {}),
}


def classifier(name, width=4, outputs=3):
    parts = [
        keras.Input((8, 8, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(width, 3),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(outputs),
    ]
    return keras.Sequential(parts, name=name)


def chain(exits=()):
    def unit(name):
        return layers.Residual([keras.layers.Conv2D(4, 3, padding="same") for _ in range(2)], name=name)

    def head():
        return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]

    stem = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, padding="same")]
    found = [layers.Exit(head(), after, name=f"exit_{after}") for after in exits]
    return layers.Chain(stem, [unit(name) for name in ("one", "two", "three")], head(), found)


def built(decider, exits=()):
    keras.utils.set_random_seed(3)
    model = layers.DynamicModel(chain(exits), decider)
    model.build((None, 8, 8, 3))
    return model


def check(model, images, conditionals, unread=lambda decisions: 0):
    """Exports in both precisions, compares all; returns the int8 file's decisions, the wanted ones, and the file.

    unread: MACs of gates and exits that the file lacks, as nothing reads what they say, for the decisions [n, k].
    """
    outcome = model.outcome(images, training=False)
    wanted = np.stack([np.asarray(value) for value in outcome.decisions.values()], axis=1)
    spent = cost.given(model.cost_tree, {name: np.asarray(v) for name, v in outcome.decisions.items()})
    spent = spent * np.ones(len(images)) - unread(wanted)
    outputs = ("logits", "decisions", "macs")
    exported = lite.export(model, outputs=outputs)
    assert lite.verify(exported).conditionals == conditionals
    notes, interpreter = lite.read_metadata(exported), lite.Interpreter(exported)
    order = [notes["decisions"].index(name) for name in outcome.decisions]
    for image, row, logits, macs in zip(images, wanted, np.asarray(outcome.logits), spent, strict=True):
        found = interpreter.run(image)
        np.testing.assert_array_equal(found["decisions"][0][order], row)
        np.testing.assert_allclose(found["logits"][0], logits, atol=1e-4)
        assert found["macs"].item() * notes["macs_unit"] == macs
    int8 = lite.export(model, "int8", images, outputs=outputs)
    return np.array([lite.Interpreter(int8).run(image)["decisions"][0][order] for image in images]), wanted, int8


@pytest.mark.ci
@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_tau_of_0_or_1_leaves_neither_gates_nor_ifs(kind, tau, toy_images):
    make, arguments = GATES[kind]
    model = built(make(**arguments))
    model.decider.set_tau(tau)
    gates = [*model.decider.begin_nodes(), *(node for k in range(3) for node in model.decider.unit_nodes(k))]
    macs = sum(node.total_macs for node in gates)
    assert macs > 0
    found, wanted, _ = check(model, toy_images(6), 0, lambda _: macs)
    np.testing.assert_array_equal(found, wanted)
    assert (wanted == 1 - tau).all()


def test_units_that_a_curriculum_holds_open_are_constant(toy_images):
    model, images = built(GATES["policy"][0]()), toy_images(12)
    logits = np.asarray(model.decider.network(images))
    model.decider.network.layers[-1].bias.assign(-np.median(logits, axis=0))
    model.decider.open_last(1)
    found, wanted, _ = check(model, images, 1)
    assert (found[:, :2] == 1).all()
    assert 0 < wanted[:, 2].sum() < 12
    assert (found[:, 2] != wanted[:, 2]).sum() <= 2


@pytest.mark.parametrize("measure", ["max_probability", "entropy", "margin"])
@pytest.mark.parametrize(("first", "second"), [(np.inf, None), (None, np.inf), (0, None), (None, 0), (np.inf, np.inf)])
def test_thresholds_of_exits(measure, first, second, toy_images):
    model, images = built(deciders.Confidence(measure), exits=("one", "two")), toy_images(24)
    certain = median_confidence(model, images)
    model.decider.set_thresholds(
        [middle if t is None else t for t, middle in zip((first, second), certain, strict=True)]
    )

    def unread(decisions):
        return HEAD * (first == np.inf) + HEAD * (second == np.inf) * decisions[:, 0]

    found, wanted, _ = check(model, images, int(first != 0 and first != second), unread)
    if measure != "entropy":  # of an untrained network it lies within a few int8 steps
        assert np.abs(found.mean(0) - wanted.mean(0)).max() < 0.2


def median_confidence(model, images):
    from keras_dynamic.ops import confidence

    exits = model.outcome(images, training=False).exits.values()
    return [float(np.median(confidence(logits, model.decider.confidence))) for logits in exits]


@pytest.mark.ci
@pytest.mark.parametrize(("first", "second"), [(np.inf, None), (None, np.inf), (0, None), (None, 0), (np.inf, np.inf)])
def test_thresholds_of_cascades_whose_decisions_follow_one_another(first, second, toy_images):
    keras.utils.set_random_seed(3)
    model = models.cascade([classifier(name, width) for name, width in (("s", 2), ("m", 4), ("l", 8))])
    images = toy_images(24)
    model.fit_thresholds(images, quantiles=[0.5, 0.5])
    both = [fitted if t is None else t for t, fitted in zip((first, second), model.thresholds, strict=True)]
    model.decider.set_thresholds(both)
    found, wanted, int8 = check(
        model, images, {(np.inf, np.inf): 0, (None, np.inf): 2}.get((first, second), first != 0)
    )
    assert np.abs(found.mean(0) - wanted.mean(0)).max() < 0.1
    assert lite.verify(int8).quantize == "int8"


def test_thresholds_of_a_network_inside_a_cascade_are_set_anew_in_int8(toy_images):
    keras.utils.set_random_seed(3)
    images = toy_images(64)
    inner = models.cascade([classifier("m", 4), classifier("l", 8)], name="inner")
    inner.fit_thresholds(images, quantiles=[0.5])
    outer = models.cascade([classifier("s", 2), inner])
    outer.fit_thresholds(images, quantiles=[0.75])
    found, wanted, _ = check(outer, images, 2)
    assert 0 < wanted[:, 1].sum() < wanted[:, 0].sum() < 64
    assert np.abs(found.mean(0) - wanted.mean(0)).max() < 0.1


@pytest.mark.ci
@pytest.mark.parametrize("exits", [False, True], ids=["cascade", "exits"])
def test_an_unfitted_network_inside_a_fitted_cascade(exits, toy_images):
    pytest.importorskip("tflite_micro")
    keras.utils.set_random_seed(3)
    inner = built(deciders.Confidence(), ("one",)) if exits else models.cascade([classifier("m"), classifier("l", 8)])
    outer, images = models.cascade([classifier("s", 2), inner]), toy_images(16)
    outer.fit_thresholds(images, quantiles=[0.5])
    _, wanted, int8 = check(outer, images, 1, lambda decisions: exits * HEAD * decisions[:, 0])
    assert (wanted[:, 0] == wanted[:, 1]).all()
    micro, litert = lite.MicroInterpreter(int8), lite.Interpreter(int8, kernels="builtin")
    for image in images:
        np.testing.assert_array_equal(micro.run(image)["decisions"], litert.run(image)["decisions"])


def test_stages_say_at_which_exit_an_image_stops_where_the_first_lets_all_go_on(toy_images):
    model, images = built(deciders.Confidence(), exits=("one", "two")), toy_images(8)
    model.decider.set_thresholds([np.inf, median_confidence(model, images)[1]])
    exported = lite.export(model)
    stages = lite.Stages(lite.stages(exported))
    found = [stages.run(image) for image in images]
    assert {each.exit for each in found} == {1, 2}
    for image, each in zip(images, found, strict=True):
        np.testing.assert_allclose(each.logits, lite.Interpreter(exported).run(image)["logits"], atol=1e-5)
