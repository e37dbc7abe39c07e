"""Exported channel groups: each under an IF of its own, decided, answered and costed as in Keras."""

import warnings

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite, models
from keras_dynamic.lite import benchmark, flatbuffer
from tests.layers.grouped import GROUP, HEAD, STEM, WIDTH, as_numpy, body, chain, enliven, spread

NAMES = [f"unit{u}[{k}]" for u in (1, 2) for k in (1, 2, 3)]
ALL = ("logits", "decisions", "macs")


def gated(images, decider=None, made=None, seed=0):
    model = layers.DynamicModel(made or chain(), decider or deciders.ChannelGates(hidden=4), name="gated")
    model.build((None, 8, 8, 3))
    enliven(model.chain, seed)
    return spread(model, images) if decider is None else model


@pytest.fixture(scope="module")
def model(images):
    return gated(images)


@pytest.fixture(scope="module")
def float32(model):
    return lite.export(model, outputs=ALL, fold="never")


@pytest.fixture(scope="module")
def int8(model, images):
    return lite.export(model, "int8", images, outputs=ALL, fold="never")


def answers(exported, images, interpreter=lite.Interpreter, **arguments):
    runner = interpreter(exported)
    found = [runner.run(image, **arguments) for image in images]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def expected(model, images):
    outcome = model.outcome(images, training=False)
    return keras.ops.convert_to_numpy(outcome.logits), as_numpy(outcome.decisions)


def columns(decisions):
    return np.stack(list(decisions.values()), axis=1)


def test_float32_is_as_in_keras(model, float32, images):
    found, (logits, decisions) = answers(float32, images), expected(model, images)
    metadata = lite.read_metadata(float32)
    assert metadata["decisions"] == NAMES == list(decisions)
    np.testing.assert_array_equal(found["decisions"], columns(decisions))
    assert len(np.unique(found["decisions"], axis=0)) > 5
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    np.testing.assert_array_equal(found["macs"] * metadata["macs_unit"], cost.given(model.cost_tree, decisions))


def test_each_group_has_an_if_of_its_own(model, float32, int8):
    for exported in (float32, int8):
        graph = flatbuffer.load(exported)
        names = [flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[0].operators]
        assert names.count("IF") == 6
        assert not {"WHILE", "SELECT", "SELECT_V2"} & set(names)
        found = lite.verify(exported)
        assert (found.decisions, found.conditionals, found.subgraphs) == (tuple(NAMES), 6, 13)
        assert found.macs_all_on == model.cost_tree.total_macs
        assert found.macs_all_off == model.cost_tree.total_macs - 6 * GROUP


def test_the_gate_of_a_unit_runs_once(model, float32):
    gates = sum(node.total_macs for node in model.cost_tree.children if node.name.endswith("_gate"))
    assert lite.count_macs(float32, dict.fromkeys(NAMES, False)) == STEM + 2 * GROUP + HEAD + gates
    graph = flatbuffer.load(float32)
    names = [flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[0].operators]
    assert names.count("FULLY_CONNECTED") == 2 * 2 + 1  # of each gate two, and the head


def test_int8_is_nearly_as_in_keras(model, int8, images):
    found, (logits, decisions) = answers(int8, images), expected(model, images)
    same = (found["decisions"] == columns(decisions)).mean()
    assert same > 0.85  # medians are cut finely
    alike = (found["decisions"] == columns(decisions)).all(axis=1)
    assert alike.sum() >= 5
    np.testing.assert_allclose(found["logits"][alike], logits[alike], atol=0.1 * np.ptp(logits))
    told = dict(zip(NAMES, found["decisions"].T, strict=True))
    macs = found["macs"] * lite.read_metadata(int8)["macs_unit"]
    np.testing.assert_array_equal(macs, cost.given(model.cost_tree, told))


@pytest.mark.parametrize("quantize", ["float32", "int8"])
def test_tflm_agrees_with_litert(quantize, images, request):
    pytest.importorskip("tflite_micro")
    exported = request.getfixturevalue(quantize)
    micro, litert = lite.MicroInterpreter(exported), lite.Interpreter(exported, kernels="builtin")
    same = 0
    for image in images[:8]:
        one, other = micro.run(image, raw=True), litert.run(image, raw=True)
        if np.array_equal(one["decisions"], other["decisions"]):  # one step of int8 may lie between them
            np.testing.assert_array_equal(one["macs"], other["macs"])
            tolerance = 1 if quantize == "int8" else 1e-4
            np.testing.assert_allclose(one["logits"].astype(float), other["logits"].astype(float), atol=tolerance)
            same += 1
    assert same >= 6


@pytest.mark.ci
def test_the_model_is_left_as_it_was(images):
    model = gated(images)
    weights, tree, variables = model.get_weights(), model.cost_tree, len(model.variables)
    before = expected(model, images)
    lite.export(model, fold="never")
    assert (model.cost_tree, len(model.variables)) == (tree, variables)
    for value, kept in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(value, kept)
    after = expected(model, images)
    np.testing.assert_array_equal(after[0], before[0])


@pytest.mark.parametrize("kind", ["free", "pattern"])
def test_groups_that_no_image_changes_are_folded_away(kind, images):
    if kind == "free":
        model = gated(images, deciders.ChannelGates(data_dependent=False))
        model.decider.gates["unit1"].logits.assign([0, 0, 0, 1, -1, 1])
        model.decider.gates["unit2"].logits.assign([0, 0, 0, -1, -1, -1])
        left = 2 + 1 + 1
    else:
        model = gated(images, deciders.Pattern({"unit1[2]": 0, "unit2[1]": 1, "unit2[3]": 0}))
        left = 8 - 2
    exported = lite.export(model, outputs=ALL, fold="never")
    found = lite.verify(exported)
    assert (found.decisions, found.conditionals) == ((), 0)
    assert found.macs_all_on == STEM + left * GROUP + HEAD == cost.given(model.cost_tree, expected(model, images)[1])[0]
    graph = flatbuffer.load(exported)
    names = [flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[0].operators]
    assert names.count("CONV_2D") == 1 + 2 * 2  # what is left of a unit is computed as a whole
    np.testing.assert_allclose(answers(exported, images[:6])["logits"], expected(model, images[:6])[0], atol=1e-4)


def test_groups_at_all_ends_that_no_image_changes_are_cut_away(images):
    ends = body(input_granularity=4, output_granularity=4)
    made = chain()
    made = layers.Chain(made.stem, [layers.Residual(ends, None, "relu", name="unit1")], made.head)
    model = gated(images, deciders.Pattern({"unit1[in1]": 0, "unit1[2]": 0, "unit1[out1]": 0}), made)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exported = lite.export(model, outputs=ALL)
    macs = 64 * 9 * (4 * 12 + 12 * 4)
    assert (
        lite.verify(exported).macs_all_on
        == STEM + macs + HEAD
        == cost.given(model.cost_tree, expected(model, images)[1])[0]
    )
    np.testing.assert_allclose(answers(exported, images[:6])["logits"], expected(model, images[:6])[0], atol=1e-4)


def test_some_groups_and_whole_units_beside_them(images):
    """Of unit1 the groups are decided, unit2 always runs, and in a cascade an outer decision is over both."""
    inner = gated(images, deciders.ChannelGates(always=("unit2",), hidden=4))
    spread(inner, images)
    plain = gated(images, layers.Always(), seed=1)  # of other weights: the converter merges what two networks share
    model = models.cascade([layers.DynamicModel(plain.chain, name="first"), inner])
    model.build((None, 8, 8, 3))
    fitted = model.fit_thresholds(images, quantiles=[0.5])
    model.decider.set_thresholds(fitted.thresholds - 1e-5)  # no image's own confidence, which files round otherwise
    exported = lite.export(model, outputs=ALL, fold="never")
    names = lite.read_metadata(exported)["decisions"]
    assert names == ["gated", *(f"gated/unit1[{k}]" for k in (1, 2, 3))]
    found, (logits, decisions) = answers(exported, images), expected(model, images)
    np.testing.assert_array_equal(found["decisions"], np.stack([decisions[name] for name in names], axis=1))
    assert 0 < found["decisions"][:, 0].mean() < 1
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    macs = found["macs"] * lite.read_metadata(exported)["macs_unit"]
    np.testing.assert_array_equal(macs, cost.given(model.cost_tree, decisions))


def test_locked_units_have_ifs_of_their_own_on_one_decision(images):
    gates = deciders.ChannelGates(hidden=4, locked={"both": ["unit1", "unit2"]})
    model = spread(gated(images, gates), images)
    exported = lite.export(model, outputs=ALL, fold="never")
    verified, metadata = lite.verify(exported), lite.read_metadata(exported)
    assert (verified.decisions, verified.conditionals) == (("both[1]", "both[2]", "both[3]"), 6)
    for unit in ("unit1", "unit2"):
        under = {part["when"][0]: part["macs"] for part in metadata["parts"][unit] if part["when"]}
        assert under == dict.fromkeys(verified.decisions, GROUP)
    assert verified.macs_all_on - verified.macs_all_off == 6 * GROUP
    found, (logits, decisions) = answers(exported, images), expected(model, images)
    np.testing.assert_array_equal(found["decisions"], columns(decisions))
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    np.testing.assert_array_equal(found["macs"] * metadata["macs_unit"], cost.given(model.cost_tree, decisions))
    given = lite.Interpreter(benchmark.driven(exported))
    row = dict(zip(verified.decisions, found["decisions"][0].astype(bool), strict=True))
    told = given.run(images[0], **{name: np.full(given.inputs[name].shape, on) for name, on in row.items()})
    np.testing.assert_allclose(told["logits"][0], logits[0], atol=1e-4)


@pytest.mark.ci
@pytest.mark.parametrize("quantize", [pytest.param(None, marks=pytest.mark.ci), "int8"])
def test_memory_is_two_dense_layers_more(quantize, images):
    model = spread(gated(images, deciders.ChannelGates(hidden=4, memory=5)), images)
    exported = lite.export(model, quantize, images, outputs=ALL, fold="never")
    graph = flatbuffer.load(exported)
    names = [flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[0].operators]
    assert names.count("FULLY_CONNECTED") == 2 * 4 + 1
    assert lite.verify(exported).macs_all_on == model.cost_tree.total_macs
    found, (logits, decisions) = answers(exported, images), expected(model, images)
    if quantize is None:
        np.testing.assert_array_equal(found["decisions"], columns(decisions))
        np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    else:
        assert (found["decisions"] == columns(decisions)).mean() > 0.85


def bent():
    """A chain of a unit with a ReLU behind its groups, which therefore do not add up."""
    made = chain(1)
    made.units[0].body.contract.add(keras.layers.ReLU(name="bend"))
    return made


def test_groups_that_do_not_add_up_get_no_ifs(images):
    with pytest.raises(
        ValueError, match=r"^the groups of '.*' must add up.* with \['bend'\] in `contract` they do not"
    ):
        lite.export(gated(images, made=bent()), fold="never")


def test_groups_that_do_not_add_up_can_be_masks_or_constant(images):
    masked, constant = gated(images, made=bent()), gated(images, deciders.Pattern({"unit1[2]": 0}), bent())
    for model, exported in ((masked, folded(masked, units=["unit1"])), (constant, lite.export(constant, outputs=ALL))):
        np.testing.assert_allclose(answers(exported, images[:6])["logits"], expected(model, images[:6])[0], atol=1e-4)


class Halves(deciders.ChannelGates):
    """Gates that answer with numbers."""

    def by_name(self, k, values):
        return {name: keras.ops.cast(value, "float32") for name, value in super().by_name(k, values).items()}

    def decide(self, k, x, carry, training=None):
        decided, chances, carry = super().decide(k, x, carry, training)
        return {name: keras.ops.cast(value, "float32") for name, value in decided.items()}, chances, carry


def test_a_group_that_is_not_decided_by_a_bool_is_an_error(images):
    with pytest.raises(ValueError, match=r"^decision 'unit1\[1\]' must be one bool per image .*, got float32 of shape"):
        lite.export(gated(images, Halves(hidden=4)))


def test_the_yardstick_of_a_unit_is_its_share_of_macs_that_ran(model, float32):
    """The times are what they are; how they are put together is arithmetic."""
    x = np.random.default_rng(2).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
    all_on = lite.export(layers.DynamicModel(model.chain))
    found = benchmark.benchmark(benchmark.Models(all_on, float32, all_on), x, np.zeros(200, int))
    rates = found["activation_rates"]
    assert list(rates) == NAMES
    shares = {unit: (1 + sum(rates[f"{unit}[{k}]"] for k in (1, 2, 3))) / 4 for unit in ("unit1", "unit2")}
    assert all(0.3 < share < 0.95 for share in shares.values())
    yardstick = sum(ms * shares.get(part, 1.0) for part, ms in found["unit_ms"].items())
    assert found["overhead_with_decider"] == pytest.approx(found["latency_dynamic_ms"] / yardstick)
    fixed = model.cost_tree.total_macs - 6 * GROUP
    assert found["macs_mean"] == pytest.approx(fixed + GROUP * sum(rates.values()))


def folded(model, quantize=None, images=None, units=("unit1", "unit2")):
    """Exports a model whose groups are too small to pay; a sentence on each unit."""
    with pytest.warns(UserWarning, match="has masks, not IFs, for 3 of its groups of channels") as caught:
        exported = lite.export(model, quantize, images, outputs=ALL)
    told = [str(warning.message) for warning in caught if "not IFs" in str(warning.message)]
    assert [sentence.split("'")[1] for sentence in told] == list(units)
    assert lite.read_metadata(exported)["notes"] == told
    return exported


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_small_groups_are_computed_under_masks(quantize, model, images):
    exported = folded(model, quantize, images)
    graph = flatbuffer.load(exported)
    names = [flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[0].operators]
    assert (len(graph.subgraphs), names.count("IF"), names.count("CONV_2D")) == (1, 0, 1 + 2 * 2)
    verified = lite.verify(exported)
    assert verified.decisions == tuple(NAMES)
    assert verified.macs_all_on == verified.macs_all_off == model.cost_tree.total_macs
    found, (logits, decisions) = answers(exported, images), expected(model, images)
    assert set(found["macs"] * lite.read_metadata(exported)["macs_unit"]) == {model.cost_tree.total_macs}
    alike = (found["decisions"] == columns(decisions)).all(axis=1)
    if quantize is None:
        assert alike.all()
    assert alike.sum() >= 5
    tolerance = 1e-4 if quantize is None else 0.1 * np.ptp(logits)
    np.testing.assert_allclose(found["logits"][alike], logits[alike], atol=tolerance)


def test_why_groups_do_not_pay(model, images):
    with pytest.warns(UserWarning, match=r"groups of 4 filters, fewer than 16, do not pay \(fold='never'"):
        lite.export(model)
    few = gated(images, made=chain(size=1, granularity=16, hidden=32))
    macs = 64 * 2 * WIDTH * 16
    with pytest.warns(UserWarning, match=rf"groups of {macs:,} MACs, fewer than 100,000, do not pay \(fold='never'"):
        lite.export(few)


def test_where_no_if_is_possible_none_is_promised(images):
    made = chain()
    ends = body(granularity=16, input_granularity=4)
    alone = layers.Chain(made.stem, [layers.Residual(ends, None, "relu", name="unit1")], made.head)
    with pytest.warns(UserWarning, match="always count: input and output channels have no IFs.$"):
        lite.export(gated(images, made=alone))


def test_groups_that_pay_are_not_folded(images):
    model = gated(images, made=chain(granularity=16, hidden=32))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # ours, not what other packages deprecate
        exported = lite.export(model)
    assert (lite.verify(exported).conditionals, lite.read_metadata(exported)["notes"]) == (2, [])


@pytest.mark.ci
def test_folded_groups_inside_a_cascade(images):
    inner = gated(images)
    plain = gated(images, layers.Always(), seed=1)
    model = models.cascade([layers.DynamicModel(plain.chain, name="first"), inner])
    model.build((None, 8, 8, 3))
    fitted = model.fit_thresholds(images, quantiles=[0.5])
    model.decider.set_thresholds(fitted.thresholds - 1e-5)  # no image's own confidence, which files round otherwise
    exported = folded(model, units=("gated/unit1", "gated/unit2"))
    verified = lite.verify(exported)
    assert (verified.decisions[0], verified.conditionals) == ("gated", 1)
    assert verified.macs_all_on - verified.macs_all_off == inner.cost_tree.total_macs
    found, (logits, decisions) = answers(exported, images), expected(model, images)
    np.testing.assert_array_equal(found["decisions"], columns(decisions))
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)


def test_groups_that_obey_what_other_groups_obey_are_not_folded_alone(images):
    """Of two locked units the first is too small to pay, the second is not: both get IFs."""
    first, second = chain(1, 1, 16, 32).units[0], chain(1, 3, 16, 32).units[0]
    made = chain()
    units = [layers.Residual(unit.body, None, "relu", name=name) for unit, name in ((first, "a"), (second, "b"))]
    locked = deciders.ChannelGates(hidden=4, locked={"both": ["a", "b"]})
    exported = lite.export(gated(images, locked, layers.Chain(made.stem, units, made.head)))
    assert (lite.verify(exported).conditionals, lite.read_metadata(exported)["notes"]) == (2, [])


def test_fold_is_one_of_two_words(model):
    with pytest.raises(
        ValueError, match=r"fold must be one of \('auto', 'never'\), got 'nevr' \(did you mean 'never'\?\)"
    ):
        lite.export(model, fold="nevr")


@pytest.mark.ci
@pytest.mark.parametrize("quantize", [None, "int8"])
@pytest.mark.parametrize("fold", ["auto", pytest.param("never", marks=pytest.mark.ci)])
def test_masks_on_input_and_output_channels_are_multiplications(quantize, fold, images):
    """Of the groups between the convolutions there are IFs; the masks at the ends always count."""
    ends = body(input_granularity=4, output_granularity=4)
    made = chain()
    made = layers.Chain(made.stem, [layers.Residual(ends, None, "relu", name="unit1"), made.units[1]], made.head)
    model = gated(images, made=made)
    assert model.decision_names[:5] == ["unit1[in1]", "unit1[1]", "unit1[2]", "unit1[3]", "unit1[out1]"]
    sentence = "for 2 of its groups of channels, whose MACs always count: input and output channels have no IFs"
    if fold == "auto":
        sentence = r"for 5 of its groups of channels, .* do not pay \(fold='never' makes IFs of those\); input and"
    with pytest.warns(UserWarning, match=sentence):
        exported = lite.export(model, quantize, images, outputs=ALL, fold=fold)
    verified = lite.verify(exported)
    assert verified.decisions == tuple(model.decision_names)
    assert verified.conditionals == (6 if fold == "never" else 0)
    assert verified.macs_all_on - verified.macs_all_off == verified.conditionals * GROUP
    assert verified.macs_all_on == model.cost_tree.total_macs
    found, (logits, decisions) = answers(exported, images), expected(model, images)
    told = dict(zip(verified.decisions, found["decisions"].T, strict=True))
    at_ends = {name: np.ones_like(value) for name, value in told.items() if "in" in name[5:] or "out" in name}
    if fold == "never":
        macs = found["macs"] * lite.read_metadata(exported)["macs_unit"]
        np.testing.assert_array_equal(macs, cost.given(model.cost_tree, told | at_ends))
    alike = (found["decisions"] == columns(decisions)).all(axis=1)
    assert alike.all() if quantize is None else alike.sum() >= 5
    tolerance = 1e-4 if quantize is None else 0.1 * np.ptp(logits)
    np.testing.assert_allclose(found["logits"][alike], logits[alike], atol=tolerance)
