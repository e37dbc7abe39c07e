"""Models made from an exported one."""

import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite, models
from keras_dynamic.lite import flatbuffer


@pytest.fixture(scope="module")
def gated():
    network = models.resnet_cifar(8, width=4)
    gates = deciders.PerUnitGates(seed=0)
    model = layers.DynamicModel(network.chain, gates)
    model.build((None, 32, 32, 3))
    for name, logit in zip(gates.names, (4.0, -4.0, 4.0), strict=True):
        gates.gates[name].bias.assign([0.0, logit])
    return model


@pytest.fixture(scope="module")
def exported(gated):
    return lite.export(gated, outputs=("logits", "decisions", "macs"))


def image():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_fewer_outputs_give_the_same_logits_and_less_work(exported):
    lean = lite.with_outputs(exported, ["logits"])
    assert list(lite.Interpreter(lean).outputs) == ["logits"]
    np.testing.assert_array_equal(
        lite.Interpreter(lean).run(image())["logits"], lite.Interpreter(exported).run(image())["logits"]
    )
    assert lite.verify(lean).operators < lite.verify(exported).operators


def test_an_output_that_is_not_there_is_named(exported):
    lean = lite.with_outputs(exported, ["logits"])
    with pytest.raises(ValueError, match="no output 'macs'"):
        lite.with_outputs(lean, ["macs"])


@pytest.mark.parametrize("pattern", [(0, 0, 0), (1, 0, 1), (1, 1, 1)])
def test_a_driven_model_runs_what_it_is_told(gated, exported, pattern):
    names = gated.decision_names
    told = lite.driven(exported)
    runner = lite.Interpreter(told)
    given = {name: np.full(runner.inputs[name].shape, bool(bit)) for name, bit in zip(names, pattern, strict=True)}
    got = runner.run(image(), **given)["logits"]
    fixed = {name: np.array([bit], np.float32) for name, bit in zip(names, pattern, strict=True)}
    expected = gated.outcome(image()[None], decisions=fixed, training=False).logits
    np.testing.assert_allclose(got, np.asarray(expected), atol=1e-4)


def test_a_driven_model_has_no_gates(exported):
    operators = [operator.name for operator in lite.list_operators(lite.driven(exported))]
    assert "GREATER" not in operators
    assert operators.count("IF") == 3
    assert operators.count("FULLY_CONNECTED") == 1  # the head


def test_parts_are_stem_units_and_head_and_hold_all_the_work(gated):
    all_on = lite.export(layers.DynamicModel(gated.chain))
    parts = lite.unit_parts(all_on)
    assert list(parts) == ["stem", "stage1_unit1", "stage2_unit1", "stage3_unit1", "head"]
    whole = len(flatbuffer.load(all_on).subgraphs[0].operators)
    assert sum(len(flatbuffer.load(part).subgraphs[0].operators) for part in parts.values()) == whole
    for part in parts.values():
        runner = lite.Interpreter(part)
        runner.fill()
        runner.invoke()


def test_parts_of_a_cascade_are_its_networks():
    small, large = models.resnet_cifar(8, width=4), models.resnet_cifar(8, width=8)
    for network, name in ((small, "small"), (large, "large")):
        network.name = name
        network.build((None, 32, 32, 3))
    cascade = models.cascade([small, large])
    parts = lite.unit_parts(lite.export(layers.DynamicModel(cascade.chain)))
    assert list(parts)[:2] == ["stem", "large"]
