"""Settled gates made real: the same outputs, and exactly the MACs and parameters of what is left."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import lite
from keras_dynamic.deciders import ChannelGates, PerUnitGates, Stochastic
from keras_dynamic.evaluation import evaluate
from keras_dynamic.layers import Always, Chain, ConnectionGroups, DynamicModel, Exit, Residual
from keras_dynamic.layers.dynamic_model import dtype_policy_scope
from keras_dynamic.lite import flatbuffer
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import resnet_cifar
from keras_dynamic.transform import group_channels
from keras_dynamic.transform.strip_gates import strip_gates
from tests.layers.grouped import GROUP, HEAD, STEM, WIDTH, Halved, body, chain, conv, enliven, norm, spread

SETTLED = {"unit1": [1, 0, 1], "unit2": [0, 0, 0]}
GROUP_PARAMETERS = 9 * WIDTH * 4 + 4 * 4 + 9 * 4 * WIDTH  # filters, their batch norm, their inputs to the second


def pruned(made=None, frozen=SETTLED, model=None, **arguments):
    """A model whose data-independent gates have frozen."""
    gates = ChannelGates(data_dependent=False, always=arguments.pop("always", ()))
    model = (model or DynamicModel)(made or chain(), gates, **arguments)
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    for name, runs in frozen.items():
        gates.gates[name].logits.assign([0.0] * len(runs) + [5.0 if run else -5.0 for run in runs])
    return model


def dependent(images, frozen=SETTLED):
    """A model whose data-dependent gates say the same of all images."""
    model = DynamicModel(chain(), ChannelGates(), name="dependent")
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    for name, runs in frozen.items():
        model.decider.gates[name].bias.assign([0.0] * len(runs) + [30.0 if run else -30.0 for run in runs])
    return model


def test_what_is_left_gives_the_same_outputs_for_less(toy_images, tmp_path):
    images, model = toy_images(30), pruned()
    before = model.get_weights()
    smaller = strip_gates(model)
    np.testing.assert_allclose(smaller(images), model(images), atol=1e-5)
    assert np.std(smaller(images), axis=0).min() > 1e-3
    assert type(smaller.decider) is Always
    assert smaller.cost_tree.total_macs == STEM + (3 + 1) * GROUP + HEAD == evaluate(model, images).macs[0]
    assert smaller.count_params() == model.chain.count_params() - 4 * GROUP_PARAMETERS
    kernels = [weight.shape for weight in smaller.chain.units[0].weights if weight.name == "kernel"]
    assert kernels == [(3, 3, WIDTH, 12), (3, 3, 12, WIDTH)]
    smaller.save(tmp_path / "smaller.keras")
    loaded = keras.models.load_model(tmp_path / "smaller.keras")
    np.testing.assert_array_equal(loaded(images), smaller(images))
    assert loaded.cost_tree == smaller.cost_tree
    for variable in smaller.weights:
        variable.assign(0 * variable)
    for value, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, kept)


def test_what_is_left_is_an_ordinary_static_file(toy_images):
    smaller = strip_gates(pruned())
    exported = lite.export(smaller, outputs=("logits", "decisions", "macs"))
    verified = lite.verify(exported)
    assert (verified.conditionals, verified.decisions, verified.subgraphs) == (0, (), 1)
    assert verified.macs_all_on == smaller.cost_tree.total_macs
    graph = flatbuffer.load(exported)
    names = [flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[0].operators]
    assert names.count("CONV_2D") == 5
    assert not {"IF", "SELECT", "SELECT_V2", "WHILE"} & set(names)
    runner = lite.Interpreter(exported)
    for image in toy_images(4):
        np.testing.assert_allclose(runner.run(image)["logits"], smaller(image[None]), atol=1e-4)


def test_what_comes_before_and_shortcuts_stay(toy_images):
    units = [
        Residual(body(before=[layers.Conv2D(WIDTH, 1)]), layers.Conv2D(WIDTH, 1), "swish", "convex", name="unit1"),
        layers.ReLU(6.0, name="always"),
        Residual(body(), name="unit2"),
    ]
    exits = [Exit([layers.GlobalMaxPooling2D(), layers.Dense(3)], "unit1", name="early")]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    scale = layers.Normalization()
    model = pruned(Chain([scale, layers.Conv2D(WIDTH, 1)], units, head, exits))
    scale.adapt(toy_images().astype("float32"))  # a state that is no weight
    smaller = strip_gates(model)
    expected, found = model.outcome(toy_images(9)), smaller.outcome(toy_images(9))
    np.testing.assert_allclose(found.logits, expected.logits, atol=1e-5)
    np.testing.assert_allclose(found.exits["early"], expected.exits["early"], atol=1e-5)
    assert smaller.cost_tree.total_macs == model.cost_tree.total_macs - 4 * GROUP
    assert [unit.name for unit in smaller.chain.units] == ["unit1", "always", "unit2"]


def test_units_that_always_run_stay_whole(toy_images):
    model = pruned(always=("unit1",), frozen={"unit2": [0, 1, 0]})
    smaller = strip_gates(model)
    np.testing.assert_allclose(smaller(toy_images()), model(toy_images()), atol=1e-5)
    assert smaller.cost_tree.total_macs == STEM + (4 + 2) * GROUP + HEAD


def test_a_method_leaves_an_ordinary_network(toy_images):
    model = pruned(model=ActivationGating, target=0.5)
    smaller = strip_gates(model)
    assert type(smaller) is DynamicModel
    assert smaller.chain.group_names == []
    np.testing.assert_allclose(smaller(toy_images()), model(toy_images()), atol=1e-5)


def test_bottlenecks_of_a_network(toy_images):
    plain = resnet_cifar(11, num_classes=3, width=8, block="bottleneck")
    plain.build((None, 32, 32, 3))
    enliven(plain.chain)
    model = DynamicModel(group_channels(plain, {"stage1": 4, "stage2": 4}).chain, ChannelGates(data_dependent=False))
    model.build((None, 32, 32, 3))
    model.decider.gates["stage1_unit1"].logits.assign([0.0, -1.0])
    model.decider.gates["stage2_unit1"].logits.assign([0.0] * 3 + [-1.0, 1.0, -1.0])
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype("uint8")
    smaller = strip_gates(model)
    np.testing.assert_allclose(smaller(images), model(images), atol=1e-5)
    one, two = 1024 * (9 * 8 * 4 + 4 * 32), 256 * (9 * 16 * 4 + 4 * 64)
    assert smaller.cost_tree.total_macs == model.cost_tree.total_macs - one - 2 * two


def test_gates_that_have_polarised(toy_images):
    images = toy_images(30)
    model = dependent(images)
    smaller = strip_gates(model, images, batch_size=7)
    np.testing.assert_allclose(smaller(images), model(images), atol=1e-5)
    assert smaller.count_params() == model.chain.count_params() - 4 * GROUP_PARAMETERS
    assert smaller.cost_tree.total_macs == STEM + 4 * GROUP + HEAD


def test_gates_that_have_not_are_named_with_how_far_they_are(toy_images):
    images = toy_images(40)
    model = spread(dependent(images), images)
    for gate in model.decider.gates.values():  # the first group always, the last never, those between for half
        bias = keras.ops.convert_to_numpy(gate.bias)
        gate.bias.assign([0.0, 0.0, 0.0, 40.0, bias[4], -40.0])
    found = evaluate(model, images, np.arange(40) % 3).figures()["activation_rates"]
    rate = found["unit1[2]"]
    assert (found["unit1[1]"], found["unit1[3]"]) == (1.0, 0.0)
    message = (
        rf"must run for all images or none, to 1%, got 2 of 6 that do not: unit1\[2\] runs for {rate:.1%}, "
        rf"unit2\[2\] runs for {found['unit2[2]']:.1%}; train longer"
    )
    with pytest.raises(ValueError, match=message):
        strip_gates(model, images)
    few = min(min(each, 1 - each) for each in (rate, found["unit2[2]"]))
    assert few > 0.1


def test_tolerance_lets_a_few_images_differ(toy_images):
    images = toy_images(40)
    model = dependent(images)
    gate = model.decider.gates["unit1"]
    gate.kernel.assign(np.random.default_rng(0).normal(0, 1, gate.kernel.shape))
    bias = keras.ops.convert_to_numpy(gate.bias)
    gate.bias.assign(0 * bias)
    chances = np.asarray(model.outcome(images).probabilities["unit1[1]"], np.float64)
    odds = np.sort(np.log(chances) - np.log1p(-chances))
    gate.bias.assign([*bias[:3], -(odds[1] + odds[2]) / 2, *bias[4:]])  # two of 40 do without
    with pytest.raises(ValueError, match=r"got 1 of 6 that do not: unit1\[1\] runs for 95.0%"):
        strip_gates(model, images)
    smaller = strip_gates(model, images, tolerance=0.06)
    same = np.asarray(model.outcome(images).decisions["unit1[1]"]) == 1
    assert same.sum() == 38
    np.testing.assert_allclose(smaller(images)[same], model(images)[same], atol=1e-5)


@pytest.mark.parametrize("tolerance", [-0.1, 0.5, float("nan"), "0.1"])
def test_the_tolerance_is_under_one_half(tolerance, toy_images):
    with pytest.raises(ValueError, match="tolerance must be a share of the images under one half, at least 0, got"):
        strip_gates(pruned(), tolerance=tolerance)


@pytest.mark.parametrize("images", [None, np.zeros((0, 8, 8, 3))], ids=["none", "empty"])
def test_dependent_gates_need_images(images, toy_images):
    with pytest.raises(
        ValueError, match="data-dependent gates are evaluated on images, got none; give held-out images"
    ):
        strip_gates(dependent(toy_images()), images)


def test_one_image_is_no_batch(toy_images):
    with pytest.raises(ValueError, match=r"images must be \[n, 8, 8, 3\], got shape \(8, 8, 3\); put a"):
        strip_gates(dependent(toy_images()), toy_images(1)[0])


def test_where_all_gates_run_a_warning_says_that_nothing_is_saved(toy_images):
    model = pruned(frozen={"unit1": [1, 1, 1], "unit2": [1, 1, 1]}, name="large")
    with pytest.warns(
        UserWarning, match="^all 6 gates of 'large' run, so that nothing becomes smaller; train it longer"
    ):
        smaller = strip_gates(model)
    np.testing.assert_allclose(smaller(toy_images()), model(toy_images()), atol=1e-5)


def test_what_decides_nothing_is_ordinary_already():
    smaller = strip_gates(pruned(name="mine"))
    with pytest.raises(ValueError, match="got 'mine', in which nothing is decided: it is an ordinary network already"):
        strip_gates(smaller)


def test_units_of_derived_classes_are_not_slimmed():
    made = chain(1)
    other = Chain(made.stem, [Halved(made.units[0].body, None, "relu", name="unit1")], made.head)
    with pytest.raises(ValueError, match="is known for Residual and Concatenated, got 'unit1' of type Halved"):
        strip_gates(pruned(other, {"unit1": [1, 0, 1]}))


@pytest.mark.ci
@pytest.mark.parametrize(
    ("then", "now"), [("mixed_bfloat16", "float32"), pytest.param("float32", "mixed_bfloat16", marks=pytest.mark.ci)]
)
@pytest.mark.parametrize("ends", [{}, {"input_granularity": 4, "output_granularity": 4}], ids=["groups", "ends"])
def test_layers_keep_their_precision_whatever_is_in_force(then, now, ends, toy_images, tmp_path):
    with dtype_policy_scope(then):
        made = chain()
        units = [Residual(body(**ends), None, "relu", name="unit1"), made.units[1]]
        first = [0, 1, 0, 1, 1] if ends else [0, 1, 0]
        model = pruned(Chain(made.stem, units, made.head), {"unit1": first, "unit2": [0, 0, 1]})
        expected = as_float32(model(toy_images()))
    with dtype_policy_scope(now):
        smaller = strip_gates(model)
        found = as_float32(smaller(toy_images()))
        smaller.save(tmp_path / "smaller.keras")
        loaded = as_float32(keras.models.load_model(tmp_path / "smaller.keras")(toy_images()))
    tolerance = 1e-5 if then == "float32" else 0.02 * np.ptp(expected)  # sums of fewer numbers are rounded otherwise
    np.testing.assert_allclose(found, expected, atol=tolerance)
    np.testing.assert_allclose(loaded, expected, atol=tolerance)
    assert {unit.compute_dtype for unit in smaller.chain.units} == {"bfloat16" if then != "float32" else then}


def as_float32(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def test_other_models_are_an_error(toy_chain):
    gated = DynamicModel(toy_chain(), PerUnitGates())
    sampled = DynamicModel(chain(), Stochastic(ChannelGates()))
    for model, kind in ((gated, "PerUnitGates"), (sampled, "Stochastic"), (keras.Sequential(), "Sequential")):
        with pytest.raises(ValueError, match=f"takes a built model with ChannelGates, got {kind}; gate its channel"):
            strip_gates(model)
    with pytest.raises(ValueError, match="model 'mine' is not built; call it on a batch of images first"):
        strip_gates(DynamicModel(chain(), ChannelGates(data_dependent=False), name="mine"))


def test_locked_units_are_slimmed_alike(toy_images):
    gates = ChannelGates(data_dependent=False, locked={"both": ["unit1", "unit2"]})
    model = DynamicModel(chain(), gates)
    model.build((None, 8, 8, 3))
    enliven(model.chain)
    gates.gates["unit1"].logits.assign([0.0, 0.0, 0.0, 5.0, -5.0, 5.0])
    smaller = strip_gates(model)
    np.testing.assert_allclose(smaller(toy_images()), model(toy_images()), atol=1e-5)
    assert smaller.cost_tree.total_macs == STEM + 2 * 3 * GROUP + HEAD


@pytest.mark.parametrize(
    "before",
    [None, pytest.param([layers.Conv2D(12, 1, activation="relu")], marks=pytest.mark.ci)],
    ids=["x", "before"],
)
def test_masks_on_input_and_output_channels_really_slice(before, toy_images, tmp_path):
    """One of three input groups, three of four groups, two of four output groups are left, others are zeros."""
    ends = {"input_granularity": 4, "output_granularity": 2, "before": before}
    stem = [layers.Rescaling(1 / 127.5, -1), layers.Conv2D(WIDTH, 3, padding="same")]
    units = [Residual(body(**ends), None, "relu", name="unit1")]
    made = Chain(stem, units, [layers.GlobalAveragePooling2D(), layers.Dense(3)])
    free = 1 if before is None else 2
    frozen = {"unit1": [0] * free + [1, 0, 1] + [0, 1, 0]}
    model = pruned(made, frozen)
    smaller = strip_gates(model)
    np.testing.assert_allclose(smaller(toy_images()), model(toy_images()), atol=1e-5)
    macs = evaluate(model, toy_images(4)).macs
    extra = 0 if before is None else 64 * WIDTH * 12
    assert smaller.cost_tree.total_macs == STEM + extra + 64 * 9 * 12 * (4 + 4) + HEAD == macs[0]
    kernels = [w.shape for w in smaller.chain.units[0].weights if w.name == "kernel"]
    assert kernels[-2:] == [(3, 3, 4, 12), (3, 3, 12, 4)]
    smaller.save(tmp_path / "smaller.keras")
    np.testing.assert_array_equal(
        keras.models.load_model(tmp_path / "smaller.keras")(toy_images()), smaller(toy_images())
    )
    exported = lite.export(smaller)
    assert (lite.verify(exported).conditionals, lite.verify(exported).macs_all_on) == (0, macs[0])
    found = lite.Interpreter(exported).run(toy_images()[0])["logits"]
    np.testing.assert_allclose(found, smaller(toy_images()[:1]), atol=1e-4)


@pytest.mark.parametrize("frozen", [[1, 0], [0, 0], [1, 1]])
def test_of_connections_only_those_that_run_are_left(frozen, toy_images, tmp_path):
    body = ConnectionGroups(conv(WIDTH), 4, 4, before=[norm(), layers.ReLU()], after=[norm()])
    made = chain()
    model = pruned(Chain(made.stem, [Residual(body, None, "relu", name="unit")], made.head), {"unit": frozen})
    smaller, images = strip_gates(model), toy_images(6)
    np.testing.assert_allclose(smaller(images), model(images), atol=1e-5)
    assert smaller.cost_tree.total_macs == STEM + (2 + sum(frozen)) * 64 * 9 * 4 * 4 + HEAD
    assert smaller.count_params() == model.chain.count_params() - (2 - sum(frozen)) * 9 * 4 * 4
    smaller.save(tmp_path / "smaller.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "smaller.keras")(images), smaller(images))


def test_input_groups_that_no_connection_reads_are_not_read(toy_images):
    body = ConnectionGroups(conv(WIDTH), 4, 4, forced=1)
    made = chain()
    model = pruned(Chain(made.stem, [Residual(body, None, "relu", name="unit")], made.head), {"unit": [0, 0]})
    smaller, images = strip_gates(model), toy_images(6)
    np.testing.assert_allclose(smaller(images), model(images), atol=1e-5)
    kernels = [weight.shape for weight in smaller.chain.units[0].weights if weight.name == "kernel"]
    assert kernels == [(3, 3, 4, WIDTH)]


def whole_and_grouped(**arguments):
    """A ResNet-14 with groups in its last stage alone; whole units of the others are gated too."""
    network = resnet_cifar(14, num_classes=3, width=8)
    network.build((None, 16, 16, 3))
    model = DynamicModel(group_channels(network, {"stage3": 8}).chain, ChannelGates(whole_units=True, **arguments))
    model.build((None, 16, 16, 3))
    enliven(model.chain)
    return model


WHOLE_AND_GROUPED = [
    *(f"stage{stage}_unit{unit}" for stage in (1, 2) for unit in (1, 2)),
    *(f"stage3_unit{unit}[{group}]" for unit in (1, 2) for group in (1, 2, 3)),
]


@pytest.mark.ci
@pytest.mark.parametrize("dependent", [False, pytest.param(True, marks=pytest.mark.ci)])
def test_units_that_are_off_as_a_whole_are_gone_beside_groups(dependent, toy_images, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)
    model = whole_and_grouped(data_dependent=dependent)
    assert model.decision_names == WHOLE_AND_GROUPED
    frozen = {"stage1_unit1": [1], "stage1_unit2": [0], "stage2_unit1": [0], "stage2_unit2": [1]}
    frozen |= {"stage3_unit1": [1, 0, 0], "stage3_unit2": [0, 0, 1]}
    for name, runs in frozen.items():
        gate = model.decider.gates[name]
        weights = gate.bias if dependent else gate.logits
        weights.assign([0.0] * len(runs) + [30.0 if run else -30.0 for run in runs])
    smaller = strip_gates(model, images)
    np.testing.assert_allclose(smaller(images), model(images), atol=1e-4)
    names = [unit.name for unit in smaller.chain.units]
    # a unit that changes the size leaves its shortcut, one that does not leaves nothing
    assert names == ["stage1_unit1", "stage2_unit1", "stage2_unit2", "stage3_unit1", "stage3_unit2"]
    gates = sum(node.total_macs for k in range(6) for node in model.decider.unit_nodes(k))
    assert smaller.cost_tree.total_macs == evaluate(model, images).macs[0] - gates
    smaller.save(tmp_path / "smaller.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "smaller.keras")(images), smaller(images))


@pytest.mark.ci
def test_whole_units_and_groups_are_exported_together():
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    model = whole_and_grouped(open_probability=0.5)
    exported = lite.export(model, outputs=("logits", "decisions", "macs"), fold="never")
    assert lite.verify(exported).decisions == tuple(WHOLE_AND_GROUPED)
    runner = lite.Interpreter(exported)
    outcome = model.outcome(images)
    for k, image in enumerate(images):
        told = runner.run(image)
        np.testing.assert_allclose(told["logits"].ravel(), outcome.logits[k], atol=1e-3)
        expected = [float(outcome.decisions[name][k]) for name in WHOLE_AND_GROUPED]
        np.testing.assert_array_equal(np.ravel(told["decisions"]), expected)


def test_whole_units_and_groups_survive_saving(fresh_process):
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)
    model = whole_and_grouped(open_probability=0.5, detached=True)
    found, outcome = fresh_process(model, images), model.outcome(images)
    assert 0 < np.mean([outcome.decisions[name] for name in WHOLE_AND_GROUPED]) < 1
    np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-5)
    np.testing.assert_array_equal(found["cost"], outcome.cost)


def test_gates_on_whole_units_keep_their_argument_and_obey_always():
    network = resnet_cifar(14, num_classes=3, width=8)
    network.build((None, 16, 16, 3))
    gates = ChannelGates(whole_units=True, memory=4, always=("stage1_unit1", "stage3_unit2"))
    model = DynamicModel(group_channels(network, {"stage3": 8}).chain, gates)
    model.build((None, 16, 16, 3))
    assert model.decision_names == [*WHOLE_AND_GROUPED[1:4], *WHOLE_AND_GROUPED[4:7]]
    assert ChannelGates.from_config(gates.get_config()).whole_units is True
    assert [gate.memory for gate in gates.gates.values()] == [None, None, None, 4]
