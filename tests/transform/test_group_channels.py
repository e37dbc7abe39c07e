"""Trained networks with their channels in groups: the same answers at the same cost."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import ChannelGates, FirstK, PerUnitGates
from keras_dynamic.layers import Chain, DynamicModel, Residual
from keras_dynamic.layers.dynamic_model import dtype_policy_scope
from keras_dynamic.models import resnet_cifar
from keras_dynamic.transform import group_channels
from tests.layers.grouped import Halved, enliven

X = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("uint8")
UNITS = ["stage1_unit1", "stage2_unit1", "stage3_unit1"]


def network(block="basic", width=8):
    made = resnet_cifar(8 if block == "basic" else 11, num_classes=3, width=width, block=block, name="net")
    made.build((None, 32, 32, 3))
    enliven(made.chain)
    return made


def counts(model):
    """Returns {unit: number of groups that can be switched}."""
    return {unit.name: len(unit.group_names) for unit in model.chain.units if unit.group_names}


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("forced", [1, 2])
def test_it_gives_the_same_answers_at_the_same_cost(block, forced):
    plain = network(block)
    expected, macs, parameters = plain.outcome(X).logits, plain.cost_tree.total_macs, plain.count_params()
    grouped = group_channels(plain, 4, forced)
    assert np.std(expected) > 0.01
    np.testing.assert_allclose(grouped.outcome(X).logits, expected, atol=1e-5)
    assert (grouped.cost_tree.total_macs, grouped.count_params(), grouped.name) == (macs, parameters, "net")
    assert grouped.decision_names == []
    inside = {name: width // 4 - forced for name, width in zip(UNITS, (8, 16, 32), strict=True) if width // 4 > forced}
    assert counts(grouped) == inside


@pytest.mark.parametrize(
    ("granularity", "wanted"),
    [
        (8, {"stage2_unit1": 1, "stage3_unit1": 3}),
        ({"stage1": 2, "stage2": 8, "stage3": 16}, {"stage1_unit1": 3, "stage2_unit1": 1, "stage3_unit1": 1}),
        ({"stage3": 4}, {"stage3_unit1": 7}),
        ({"stage2_unit1": 4}, {"stage2_unit1": 3}),
        ({"stage1": 2, "stage1_unit1": 4}, {"stage1_unit1": 1}),
    ],
    ids=str,
)
def test_granularity_is_for_all_or_by_stage_or_unit(granularity, wanted):
    plain = network()
    expected = plain.outcome(X).logits
    grouped = group_channels(plain, granularity)
    assert counts(grouped) == wanted
    np.testing.assert_allclose(grouped.outcome(X).logits, expected, atol=1e-5)


def test_a_group_that_is_off_saves_its_part_of_both_convolutions():
    model = DynamicModel(group_channels(network(), {"stage2": 4}).chain, ChannelGates(data_dependent=False))
    model.build((None, 32, 32, 3))
    assert model.decision_names == [f"stage2_unit1[{k}]" for k in (1, 2, 3)]
    whole = model.cost_tree.total_macs
    outcome = model.outcome(X, {f"stage2_unit1[{k}]": [float(k > n) for n in (0, 1, 3)] for k in (1, 2, 3)})
    group = 256 * 9 * (8 * 4 + 4 * 16)
    np.testing.assert_allclose(np.asarray(outcome.cost) * whole, whole - np.array([0, 1, 3]) * group, rtol=1e-6)


def test_of_a_bottleneck_the_first_convolution_always_runs():
    model = DynamicModel(group_channels(network("bottleneck"), {"stage1": 4}).chain, ChannelGates(data_dependent=False))
    model.build((None, 32, 32, 3))
    off = model.outcome(X[:1], {"stage1_unit1[1]": [0.0]})
    whole = model.cost_tree.total_macs
    saved = 1024 * (9 * 8 * 4 + 4 * 32)
    np.testing.assert_allclose(np.asarray(off.cost) * whole, whole - saved, rtol=1e-6)


def test_padding_goes_with_its_convolution():
    body = [layers.ZeroPadding2D(1), layers.Conv2D(8, 3), layers.ReLU(), layers.ZeroPadding2D(1), layers.Conv2D(3, 3)]
    plain = DynamicModel(Chain([layers.Rescaling(1 / 255)], [Residual(body, name="unit")], [layers.Flatten()]))
    plain.build((None, 8, 8, 3))
    expected = plain.outcome(X[:, :8, :8]).logits
    grouped = group_channels(plain, 2)
    np.testing.assert_allclose(grouped.outcome(X[:, :8, :8]).logits, expected, atol=1e-5)
    kinds = [[type(layer).__name__ for layer in part.layers] for part in _parts(grouped.chain.units[0].body)]
    assert kinds == [["ZeroPadding2D", "Conv2D", "ReLU"], ["ZeroPadding2D", "Conv2D"]]
    assert grouped.chain.units[0].body.before is None


def _parts(body):
    return body.expand, body.contract


def test_other_units_are_left_as_they_are():
    chained = [
        Residual([layers.Conv2D(4, 1)], name="one"),
        layers.ReLU(name="always"),
        Residual([layers.Conv2D(8, 1), layers.Conv2D(4, 1)], name="two"),
    ]
    plain = DynamicModel(Chain([layers.Conv2D(4, 1)], chained, [layers.Flatten()]))
    plain.build((None, 8, 8, 3))
    grouped = group_channels(plain, 4)
    assert [new is old for new, old in zip(grouped.chain.units, chained, strict=True)] == [True, True, False]
    assert grouped.chain.group_names == ["two[1]"]


def test_saving(tmp_path):
    grouped = group_channels(network(), {"stage2": 4})
    grouped.save(tmp_path / "grouped.keras")
    loaded = keras.models.load_model(tmp_path / "grouped.keras")
    np.testing.assert_array_equal(loaded.outcome(X).logits, grouped.outcome(X).logits)
    assert loaded.chain.group_names == grouped.chain.group_names


@pytest.mark.parametrize(
    ("granularity", "message"),
    [
        (
            {"stage4": 8},
            r"names 'stage4', which is neither a unit nor a stage \(did you mean 'stage.*units are \['stage1_unit1', ",
        ),
        (
            {"stage1_unit2": 8},
            r"names 'stage1_unit2', which is neither a unit nor a stage \(did you mean",
        ),
        (3, "granularity must divide the 8 filters of 'stage1_unit1_body', got 3; take 2"),
        ({"stage3": 5}, "granularity must divide the 32 filters of 'stage3_unit1_body', got 5; take 4"),
        (0, "granularity must be a positive int, filters per group, got 0"),
        (None, "granularity must be a positive int, filters per group, got None"),
        (8.0, r"granularity must be a positive int, filters per group, got 8\.0"),
        ({"stage2": 8, "stage1": "8"}, "granularity of 'stage1' must be a positive int, filters per group, got '8'"),
        ({"stage1": True}, "granularity of 'stage1' must be a positive int, filters per group, got True"),
        (
            {"stage1": 8},
            r"no unit of 'net' has groups that could be switched with granularity \{'stage1': 8\} and 1",
        ),
        ({}, "no unit of 'net' has groups that could be switched with granularity {} and 1 forced; take fewer filters"),
    ],
    ids=str,
)
def test_a_granularity_that_does_not_fit_is_an_error(granularity, message):
    with pytest.raises(ValueError, match=message):
        group_channels(network(), granularity)


def test_more_forced_groups_than_groups_are_an_error():
    with pytest.raises(ValueError, match="forced must be at most the 2 groups of 'stage1_unit1_body', 8 filters by 4"):
        group_channels(network(), 4, forced=3)
    with pytest.raises(ValueError, match="forced must be a positive int, groups, got 0"):
        group_channels(network(), 4, forced=0)


def test_units_that_have_groups_already_are_an_error():
    grouped = group_channels(network(), {"stage3": 4})
    for again in (8, {"stage3": 16}, {"stage3_unit1": 5}):
        with pytest.raises(
            ValueError, match=r"unit 'stage3_unit1' has groups already, 8 groups of 4 .*; give a network"
        ):
            group_channels(grouped, again)
    assert counts(group_channels(grouped, {"stage2": 8})) == {"stage2_unit1": 1, "stage3_unit1": 7}


def test_units_of_derived_classes_are_left_as_they_are():
    blocks = [[layers.Conv2D(8, 1), layers.Conv2D(4, 1)] for _ in range(2)]
    units = [kind(block, name=kind.__name__) for kind, block in zip((Halved, Residual), blocks, strict=True)]
    plain = DynamicModel(Chain([layers.Conv2D(4, 1)], units, [layers.Flatten()]))
    expected = plain.outcome(X[:, :8, :8]).logits
    grouped = group_channels(plain, 4)
    assert grouped.chain.units[0] is units[0]
    assert grouped.chain.group_names == ["Residual[1]"]
    np.testing.assert_allclose(grouped.outcome(X[:, :8, :8]).logits, expected, atol=1e-5)


@pytest.mark.parametrize(("then", "now"), [("mixed_bfloat16", "float32"), ("float32", "mixed_bfloat16")])
def test_layers_keep_their_precision_whatever_is_in_force(then, now):
    with dtype_policy_scope(then):
        plain = network()
        expected = keras.ops.convert_to_numpy(keras.ops.cast(plain.outcome(X).logits, "float32"))
    with dtype_policy_scope(now):
        grouped = group_channels(plain, 4)
        found = keras.ops.convert_to_numpy(keras.ops.cast(grouped.outcome(X).logits, "float32"))
    assert {layer.compute_dtype for layer in grouped.chain.units} == {"bfloat16" if then != "float32" else then}
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_network_that_decides_is_an_error(toy_chain):
    for decider in (PerUnitGates(), FirstK(1)):
        model = DynamicModel(toy_chain(), decider, name="mine")
        model.build((None, 8, 8, 3))
        with pytest.raises(
            ValueError, match=r"which everything runs, got 'mine' with (PerUnitGates|FirstK); group the"
        ):
            group_channels(model, 2)
    with pytest.raises(ValueError, match="network 'new' is not built; call it on a batch of images first"):
        group_channels(DynamicModel(toy_chain(), name="new"), 2)
    with pytest.raises(ValueError, match=r"must be a DynamicModel, such as DynamicModel\(chain\), got Chain"):
        group_channels(toy_chain(), 2)
    with pytest.raises(ValueError, match="takes a built functional or sequential Keras model, got Sequential"):
        group_channels(keras.Sequential(), 2)
