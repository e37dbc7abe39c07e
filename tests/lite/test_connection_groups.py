"""Exported connections between channel groups: IFs or masks, decided, answered and costed as in Keras."""

import warnings

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite
from keras_dynamic.lite import flatbuffer
from tests.layers.grouped import as_numpy, conv, enliven, norm, spread

NAMES = ["unit[0,1]", "unit[1,0]"]
ALL = ("logits", "decisions", "macs")


def gated(images, width=8, decider=None):
    """A network with a unit of 2 by 2 connections; each runs for half of the images."""
    half = width // 2
    body = layers.ConnectionGroups(
        conv(width, use_bias=True), half, half, before=[norm(), keras.layers.ReLU()], after=[norm()]
    )
    stem = [keras.layers.Rescaling(1 / 127.5, -1), conv(width)]
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    chain = layers.Chain(stem, [layers.Residual(body, None, "relu", name="unit")], head)
    model = layers.DynamicModel(chain, decider or deciders.ChannelGates(hidden=4))
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    return spread(model, images) if decider is None else model


@pytest.fixture(scope="module")
def model(images):
    return gated(images)


def agree(exported, model, images, quantize, computed=()):
    """Asserts that a file decides, answers and counts as Keras does; decisions in `computed` always count."""
    outcome = model.outcome(images, training=False)
    logits, decisions = keras.ops.convert_to_numpy(outcome.logits), as_numpy(outcome.decisions)
    runner = lite.Interpreter(exported)
    each = [runner.run(image) for image in images]
    found = {name: np.concatenate([answer[name] for answer in each]) for name in each[0]}
    told = dict(zip(NAMES, found["decisions"].T, strict=True))
    counted = {name: np.ones_like(value) if name in computed else value for name, value in told.items()}
    macs = found["macs"] * lite.read_metadata(exported)["macs_unit"]
    np.testing.assert_array_equal(macs, cost.given(model.cost_tree, counted))
    alike = (found["decisions"] == np.stack(list(decisions.values()), axis=1)).all(axis=1)
    assert alike.all() if quantize is None else alike.sum() >= 5
    tolerance = 1e-4 if quantize is None else 0.1 * np.ptp(logits)
    np.testing.assert_allclose(found["logits"][alike], logits[alike], atol=tolerance)
    assert len(np.unique(found["decisions"], axis=0)) >= 3


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_each_connection_has_an_if_of_its_own(quantize, model, images):
    exported = lite.export(model, quantize, images, outputs=ALL, fold="never")
    verified = lite.verify(exported)
    assert (verified.decisions, verified.conditionals) == (tuple(NAMES), 2)
    assert verified.macs_all_on == model.cost_tree.total_macs
    assert verified.macs_all_on - verified.macs_all_off == 2 * 64 * 9 * 4 * 4
    agree(exported, model, images, quantize)


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_small_connections_are_masks(quantize, model, images):
    sentence = (
        r"^unit 'unit' has masks, not IFs, for 2 of its connections of channels, .*: groups of 4 filters, fewer than 16"
    )
    with pytest.warns(UserWarning, match=sentence):
        exported = lite.export(model, quantize, images, outputs=ALL)
    verified = lite.verify(exported)
    assert (verified.conditionals, verified.macs_all_off) == (0, model.cost_tree.total_macs)
    agree(exported, model, images, quantize, computed=NAMES)


def test_connections_that_pay_are_not_folded(images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert lite.verify(lite.export(gated(images, width=32))).conditionals == 2


def test_connections_that_no_image_changes_are_not_in_the_file(images):
    model = gated(images, decider=deciders.Pattern({"unit[0,1]": 0, "unit[1,0]": 1}))
    exported = lite.export(model)
    verified = lite.verify(exported)
    assert (verified.decisions, verified.conditionals) == ((), 0)
    assert verified.macs_all_on == model.cost_tree.total_macs - 64 * 9 * 4 * 4
    graph = flatbuffer.load(exported)
    names = [flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[0].operators]
    assert not {"IF", "SELECT", "SELECT_V2"} & set(names)
    runner = lite.Interpreter(exported)
    for image in images[:4]:
        np.testing.assert_allclose(runner.run(image)["logits"], model(image[None]), atol=1e-4)


def test_tflm_agrees_with_litert(model, images):
    pytest.importorskip("tflite_micro")
    exported = lite.export(model, outputs=ALL, fold="never")
    micro, litert = lite.MicroInterpreter(exported), lite.Interpreter(exported)
    for image in images[:6]:
        one, other = micro.run(image), litert.run(image)
        np.testing.assert_array_equal(one["decisions"], other["decisions"])
        np.testing.assert_allclose(one["logits"], other["logits"], atol=1e-4)
