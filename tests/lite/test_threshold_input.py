"""Thresholds that an exported file takes as an input: it decides as Keras does under each of them."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite, models
from keras_dynamic.lite.benchmark import answers

OUTPUTS = ("logits", "decisions", "macs")
NAMES = ["exit1", "exit2", "exit3"]


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def run(interpreter, images, **further):
    found = [interpreter.run(image, **further) for image in images]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def several(count, k=3, seed=0):
    """Thresholds of all sizes, the ends among them."""
    drawn = np.random.default_rng(seed).uniform(0.3, 1, (count, k)).astype(np.float32)
    return [[np.inf] * k, [0.0] * k, [1.0] * k, [np.inf, 0.5, 0.0][:k], *drawn]


def agrees(model, exported, images, choices):
    """Holds logits, decisions and MACs against Keras' under each choice of thresholds; returns all decisions."""
    interpreter, metadata = lite.Interpreter(exported), lite.read_metadata(exported)
    seen = []
    for thresholds in choices:
        model.decider.set_thresholds(thresholds)
        outcome, found = model.outcome(images), run(interpreter, images, thresholds=thresholds)
        decisions = {name: array(value) for name, value in outcome.decisions.items()}
        np.testing.assert_allclose(found["logits"], array(outcome.logits), atol=1e-4)
        np.testing.assert_array_equal(found["decisions"], np.stack(list(decisions.values()), axis=1))
        np.testing.assert_array_equal(found["macs"] * metadata["macs_unit"], cost.given(model.cost_tree, decisions))
        seen.append(found["decisions"])
    return np.concatenate(seen)


def test_float32_stops_where_keras_does(stopping, stopping_file, images):
    exported = stopping_file(False, "input")
    assert list(lite.Interpreter(exported).inputs) == ["image", "thresholds"]
    seen = agrees(stopping(), exported, images, several(8))
    assert set(seen.sum(axis=1)) == {0, 1, 2, 3}
    assert lite.verify(exported).decisions == tuple(NAMES)


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_without_a_choice_it_is_the_baked_model(int8, stopping_file, images):
    given, baked = (stopping_file(int8, kind) for kind in ("input", "baked"))
    noted = lite.read_metadata(given)
    assert (noted["threshold_names"], noted["measures"]) == (NAMES, ["max_probability"] * 3)
    assert "thresholds" not in lite.read_metadata(baked)
    wanted = run(lite.Interpreter(baked), images)
    assert len(set(map(tuple, wanted["decisions"]))) > 2
    for further in ({}, {"thresholds": noted["thresholds"]}):
        for name, values in run(lite.Interpreter(given), images, **further).items():
            np.testing.assert_array_equal(values, wanted[name])


def own_confidences(interpreter, images):
    """Returns what an int8 file thinks of images at each exit, in steps of 1/256: where it begins to go on."""
    found = np.zeros((len(images), 3), int)
    for row, image in enumerate(images):
        for place in range(3):
            for step in range(256):
                thresholds = [1.0] * place + [step / 256] + [0.0] * (2 - place)
                if interpreter.run(image, thresholds=thresholds)["decisions"][0, place]:
                    found[row, place] = step - 1
                    break
    return found


def test_int8_stops_by_its_own_confidences(stopping_file, images):
    interpreter = lite.Interpreter(stopping_file(True, "input"))
    port = interpreter.inputs["thresholds"]
    assert (port.dtype, port.scale, port.zero_point, port.shape) == (np.int8, 1 / 256, -128, (3,))
    certain = own_confidences(interpreter, images[:8])
    assert len(np.unique(certain)) > 6
    for steps in np.random.default_rng(1).integers(80, 257, (20, 3)):
        found = run(interpreter, images[:8], thresholds=steps / 256)["decisions"]
        going = np.cumprod(certain < np.minimum(steps, 255), axis=1)
        np.testing.assert_array_equal(found, going)


def test_no_image_stops_at_infinity_in_int8_however_certain(stopping, images):
    model = stopping()
    model.chain.exits[0].head.layers[-1].bias.assign([20.0, 0.0, 0.0])
    exported = lite.export(model, "int8", images, OUTPUTS, thresholds="input")
    found = run(lite.Interpreter(exported), images, thresholds=[np.inf, np.inf, np.inf])
    assert found["decisions"].all()
    table = lite.read_metadata(exported)["budgets"]
    assert (table[0]["stops"], table[-1]["stops"]) == ([1, 0, 0, 0], [0, 0, 0, 1])  # and the table knows it
    assert (table[0]["macs_mean"], table[-1]["macs_mean"]) == (table[0]["macs"], table[-1]["macs"])


@pytest.fixture(scope="module")
def cascade(tiny, images):
    networks = [tiny(layers.Always(), seed=seed, name=f"net{seed}") for seed in range(3)]
    for network in networks:
        network.chain.head.layers[-1].kernel.assign(8 * network.chain.head.layers[-1].kernel)
    model = models.cascade(networks)
    model.fit_thresholds(images, quantiles=[0.6, 0.5])
    return model


@pytest.mark.ci
def test_a_cascade(cascade, images):
    exported = lite.export(cascade, None, images, OUTPUTS, thresholds="input")
    assert lite.read_metadata(exported)["thresholds"] == pytest.approx(cascade.thresholds.tolist())
    rows = lite.read_metadata(exported)["budgets"]
    for row in rows:
        chosen = lite.thresholds_for(exported, row["macs"])
        most = max(each["macs_mean"] for each in rows if each["macs_mean"] <= row["macs"])
        found = run(lite.Interpreter(exported), images, thresholds=chosen)
        spent = found["macs"].mean() * lite.read_metadata(exported)["macs_unit"]
        assert spent == pytest.approx(most)
        assert spent <= row["macs"]
    fitted = cascade.thresholds
    assert set(agrees(cascade, exported, images, several(4, k=2)).sum(axis=1)) == {0, 1, 2}
    cascade.decider.set_thresholds(fitted)


def test_a_cascade_in_int8_refits_what_it_notes(cascade, images):
    exported = lite.export(cascade, "int8", images, OUTPUTS, thresholds="input")
    going = run(lite.Interpreter(exported), images)["decisions"].mean(axis=0)
    np.testing.assert_allclose(going, [0.6, 0.3], atol=0.1)
    steps = 256 * np.array(lite.read_metadata(exported)["thresholds"])
    np.testing.assert_array_equal(steps, steps.round())


def test_beside_gates_the_confidences_alone_are_an_input(stopping, images, spread_gates):
    gates, confident = deciders.PerUnitGates(always=["unit1"]), deciders.Confidence()
    model = stopping(deciders.CombinedDecider([gates, confident]))
    spread_gates(layers.DynamicModel(model.chain, gates), images)
    confident.set_thresholds([0.6, 0.6, 0.6])
    exported = lite.export(model, None, images, OUTPUTS, thresholds="input")
    assert lite.read_metadata(exported)["threshold_names"] == NAMES
    for thresholds in several(2):
        confident.set_thresholds(thresholds)
        outcome = model.outcome(images)
        found = run(lite.Interpreter(exported), images, thresholds=thresholds)
        np.testing.assert_array_equal(
            found["decisions"], np.stack(list(map(array, outcome.decisions.values())), axis=1)
        )
    with pytest.raises(ValueError, match="no table of thresholds"):
        lite.thresholds_for(exported, 1e9)


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_micro_runs_it(int8, stopping_file, images):
    pytest.importorskip("tflite_micro")
    exported = stopping_file(int8, "input")
    micro, litert = lite.MicroInterpreter(exported), lite.Interpreter(exported, kernels="builtin")
    for thresholds in (None, *several(3)):
        for image in images[:6]:
            one, other = (each.run(image, thresholds=thresholds) for each in (micro, litert))
            np.testing.assert_array_equal(one["decisions"], other["decisions"])
            np.testing.assert_allclose(one["logits"], other["logits"], atol=litert.outputs["logits"].scale + 1e-5)
    with pytest.raises(ValueError, match="thresholds must be 3 numbers from 0 to 1"):
        micro.run(images[0], thresholds=[0.5])
    with pytest.raises(ValueError, match="takes no thresholds as an input"):
        lite.MicroInterpreter(stopping_file(int8, "baked")).run(images[0], thresholds=[0.5] * 3)


def test_models_made_from_it_take_the_noted_thresholds(stopping_file, images):
    exported = stopping_file(False, "input")
    wanted = run(lite.Interpreter(exported), images)
    np.testing.assert_array_equal(np.stack(list(answers(exported, images).decisions.values()), 1), wanted["decisions"])
    lean = lite.Interpreter(lite.with_outputs(exported, ["logits"]))
    np.testing.assert_array_equal(run(lean, images)["logits"], wanted["logits"])
    driven = lite.Interpreter(lite.driven(exported))
    told = [
        driven.run(image, exit1=[bool(d[0])])["logits"] for image, d in zip(images, wanted["decisions"], strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(told), wanted["logits"])
    driven.fill()
    at_zeros = run(lean, [np.zeros((8, 8, 3), np.uint8)])["logits"]
    lean.fill()
    lean.invoke()
    np.testing.assert_array_equal(lean.results()["logits"], at_zeros)


@pytest.mark.parametrize(
    ("bad", "got"),
    [
        ([0.5], r"\[0.5\]"),
        ([0.5, 0.5, "all"], "'all'"),
        ([0.5, 0.5, np.nan], "nan"),
        (0.5, "0.5"),
    ],
)
def test_bad_thresholds_are_one_sentence(bad, got, stopping_file, images):
    for int8 in (False, True):
        with pytest.raises(ValueError, match=f"must be 3 numbers, got .*{got}"):
            lite.Interpreter(stopping_file(int8, "input")).run(images[0], thresholds=bad)
    with pytest.raises(ValueError, match="takes no thresholds as an input; export it with thresholds='input'"):
        lite.Interpreter(stopping_file(False, "baked")).run(images[0], thresholds=[0.5] * 3)


def test_only_noted_thresholds_need_the_schema(stopping_file, images, monkeypatch):
    """tflite_runtime alone has none."""

    def missing():
        raise ImportError("no schema")

    interpreter = lite.Interpreter(stopping_file(False, "input"))
    monkeypatch.setattr(lite.flatbuffer, "schema", missing)
    assert interpreter.run(images[0], thresholds=[0.0, 0.5, 0.5])["decisions"].sum() == 0
    with pytest.raises(ImportError, match="no schema"):
        interpreter.run(images[0])


def test_what_cannot_be_exported_so_is_one_sentence(stopping, tiny, images):
    with pytest.raises(ValueError, match=r"must be one of \('baked', 'input'\), got 'inputs' \(did you mean 'input'"):
        lite.export(tiny(), thresholds="inputs")
    with pytest.raises(ValueError, match="needs a decider that compares confidences, got PerUnitGates"):
        lite.export(tiny(), thresholds="input")
    with pytest.raises(ValueError, match=r"must have shape \[n, 8, 8, 3\]"):
        lite.export(stopping(), calibration=images[:, :4], thresholds="input")
    with pytest.raises(ValueError, match="thresholds='input' needs calibration images, got none"):
        lite.export(stopping(), calibration=[], thresholds="input")
    model = stopping(deciders.Confidence("margin"))
    with pytest.raises(ValueError, match=r"confidences of one scale, got in int8 exit1 0\.\d+, exit2 0\.\d+"):
        lite.export(model, "int8", images, thresholds="input")
    model.decider.set_thresholds([0.5, 1.0, 2.0])
    agrees(
        model, lite.export(model, None, None, OUTPUTS, thresholds="input"), images, [[3.0, 1.0, 2.0], [-1.0, 5.0, 0.1]]
    )
