"""Exported units that are decided as wholes and by groups: groups, and their gates, stand inside the unit's IF."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite, models
from keras_dynamic.lite import flatbuffer
from tests.layers.grouped import GROUP, HEAD, STEM, WIDTH, as_numpy, body, chain, conv, enliven, guarded, norm
from tests.lite.test_channel_groups import answers, columns, expected

ALL = ("logits", "decisions", "macs")
WHOLE_GATE, GROUPS_GATE = 4 * WIDTH + 4, 4 * WIDTH + 4 * 3


def agrees(model, images, exported):
    """Logits, decisions and MACs of a float32 file are Keras'; export has walked the file for MACs, too."""
    found, (logits, decisions) = answers(exported, images), expected(model, images)
    metadata = lite.read_metadata(exported)
    np.testing.assert_array_equal(found["decisions"], columns({n: decisions[n] for n in metadata["decisions"]}))
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    np.testing.assert_array_equal(found["macs"] * metadata["macs_unit"], cost.given(model.cost_tree, decisions))
    return found["decisions"]


def operators(graph, index):
    return [flatbuffer.op_name(graph, operator) for operator in graph.subgraphs[index].operators]


def test_gates_of_groups_run_inside_the_unit(images):
    model = guarded(images)
    exported = lite.export(model, outputs=ALL, fold="never")
    assert len(np.unique(agrees(model, images, exported), axis=0)) > 5
    graph = flatbuffer.load(exported)
    assert operators(graph, 0).count("IF") == 2
    assert operators(graph, 0).count("FULLY_CONNECTED") == 2 * 2 + 1  # gates of the units, and the head
    found = lite.verify(exported)
    assert found.conditionals == 2 * (1 + 3)
    assert found.macs_all_off == STEM + HEAD + 2 * WHOLE_GATE
    only = {name: name == "unit1" for name in model.decision_names}
    assert lite.count_macs(exported, only) == STEM + HEAD + 2 * WHOLE_GATE + GROUPS_GATE + GROUP


def test_int8(images):
    model = guarded(images)
    exported = lite.export(model, "int8", images, outputs=ALL, fold="never")
    found, (_, decisions) = answers(exported, images), expected(model, images)
    assert (found["decisions"] == columns(decisions)).mean() > 0.85
    told = dict(zip(model.decision_names, found["decisions"].T, strict=True))
    macs = found["macs"] * lite.read_metadata(exported)["macs_unit"]
    np.testing.assert_array_equal(macs, cost.given(model.cost_tree, told))
    pytest.importorskip("tflite_micro")
    micro, litert = lite.MicroInterpreter(exported), lite.Interpreter(exported, kernels="builtin")
    same = [np.array_equal(micro.run(x)["decisions"], litert.run(x)["decisions"]) for x in images[:8]]
    assert sum(same) >= 6


def test_groups_that_become_masks_count_where_the_unit_runs(images):
    model = guarded(images)
    with pytest.warns(UserWarning, match="has masks, not IFs, for 3 of its groups of channels"):
        exported = lite.export(model, outputs=ALL)
    found, (logits, decisions) = answers(exported, images), expected(model, images)
    np.testing.assert_array_equal(found["decisions"], columns(decisions))
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    verified = lite.verify(exported)
    assert verified.conditionals == 2
    assert verified.macs_all_on - verified.macs_all_off == 2 * (4 * GROUP + GROUPS_GATE)


@pytest.mark.ci
def test_gates_of_locked_groups_run_for_every_image(images):
    model = guarded(images, locked={"both": ["unit1", "unit2"]})
    exported = lite.export(model, outputs=ALL, fold="never")
    agrees(model, images, exported)
    assert lite.verify(exported).macs_all_off == STEM + HEAD + 2 * WHOLE_GATE + GROUPS_GATE


def gates():
    return deciders.CombinedDecider([deciders.PerUnitGates(hidden=4), deciders.ChannelGates(hidden=4)])


def built(decider, seed=0, made=None):
    model = layers.DynamicModel(made or chain(), decider, name="guarded")
    model.build((None, 8, 8, 3))
    enliven(model.chain, seed)
    return model


@pytest.mark.ci
def test_decisions_that_are_known_leave_no_ifs(images):
    """Of the unit, or of its groups, or all of them."""
    known = deciders.CombinedDecider([deciders.Pattern({"unit1": 0, "unit2": 1}), deciders.ChannelGates(hidden=4)])
    model = built(known)
    exported = lite.export(model, outputs=ALL, fold="never")
    assert lite.read_metadata(exported)["decisions"] == [f"unit2[{k}]" for k in (1, 2, 3)]
    agrees(model, images[:4], exported)
    pattern = deciders.Pattern({"unit1[1]": 0, "unit1[2]": 1, "unit2[3]": 0})
    model = built(deciders.CombinedDecider([pattern, deciders.PerUnitGates(hidden=4)]))
    exported = lite.export(model, outputs=ALL)
    assert lite.verify(exported).decisions == ("unit1", "unit2")
    agrees(model, images[:4], exported)
    free = deciders.CombinedDecider([deciders.ChannelGates(data_dependent=False), deciders.PerUnitGates(hidden=4)])
    model = built(free)
    exported = lite.export(model, outputs=ALL)
    assert lite.verify(exported).decisions == ("unit1", "unit2")
    agrees(model, images[:4], exported)
    model = built(deciders.Pattern({"unit1": 1, "unit1[1]": 0, "unit2": 0, "unit2[1]": 1}))
    exported = lite.export(model)
    assert lite.verify(exported).macs_all_on == STEM + HEAD + 3 * GROUP
    np.testing.assert_allclose(answers(exported, images[:4])["logits"], expected(model, images[:4])[0], atol=1e-4)


class One(layers.Decider):
    """One layer decides each unit as a whole, another its groups, where the unit runs."""

    def choose(self, chain):
        return chain.own_names

    def prepare(self, chain):
        self.gates = [[keras.layers.Dense(1), keras.layers.Dense(3)] for _ in chain.units]
        for number, gates in enumerate(self.gates):
            for gate in gates:
                gate.build((None, WIDTH))
                enliven(gate, number)

    def decide(self, k, x, carry, training=None):
        seen = keras.ops.mean(x, axis=(1, 2))
        whole, groups = (gate(seen) for gate in self.gates[k])
        unit = self.unit_names[k]
        decided = {unit: whole[:, 0] > 0} | {f"{unit}[{j + 1}]": groups[:, j] > 0 for j in range(3)}
        return decided, decided, carry

    def unit_nodes(self, k):
        inside = cost.Guard(self.unit_names[k])
        return [cost.Node("whole", WIDTH), cost.Node("groups", 3 * WIDTH, when=inside)]


def with_first(unit_body):
    made = chain()
    return layers.Chain(made.stem, [layers.Residual(unit_body, None, "relu", name="unit1"), made.units[1]], made.head)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("make", "decider", "conditionals"),
    [
        (chain, One, 8),
        (chain, lambda: deciders.CombinedDecider([deciders.SequentialPolicy(), deciders.ChannelGates(hidden=4)]), 8),
        (lambda: with_first(layers.ConnectionGroups(conv(WIDTH), 4, 4, after=[norm()])), gates, 2 + 2 + 3),
    ],
    ids=["one decider", "recurrent", "connections"],
)
def test_other_deciders_and_bodies(make, decider, conditionals, images):
    model = built(decider(), made=make())
    exported = lite.export(model, outputs=ALL, fold="never")
    agrees(model, images, exported)
    assert lite.verify(exported).conditionals == conditionals


@pytest.mark.ci
def test_masks_at_the_ends_count_where_the_unit_runs(images):
    model = built(gates(), made=with_first(body(input_granularity=4, output_granularity=4)))
    with pytest.warns(UserWarning, match="input and output channels have no IFs"):
        exported = lite.export(model, outputs=ALL, fold="never")
    found, (logits, decisions) = answers(exported, images), expected(model, images)
    np.testing.assert_array_equal(found["decisions"], columns(decisions))
    np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
    assert lite.verify(exported).macs_all_off == STEM + HEAD + 2 * WHOLE_GATE


@pytest.mark.ci
def test_inside_a_cascade_and_before_an_exit(images):
    inner = guarded(images)
    first = built(layers.Always(), seed=1)
    model = models.cascade([layers.DynamicModel(first.chain, name="first"), inner])
    model.build((None, 8, 8, 3))
    fitted = model.fit_thresholds(images, quantiles=[0.5])
    model.decider.set_thresholds(fitted.thresholds - 1e-5)  # no image's own confidence, which files round otherwise
    exported = lite.export(model, outputs=ALL, fold="never")
    rates = agrees(model, images, exported).mean(axis=0)
    assert rates[0] == 0.5
    assert (rates[1:] <= 0.5).all()
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
    early = layers.Exit(head, "unit1", name="early")
    stopping = layers.DynamicModel(
        layers.Chain(inner.chain.stem, inner.chain.units, inner.chain.head, [early]),
        deciders.CombinedDecider(
            [deciders.ChannelGates(hidden=4), deciders.PerUnitGates(hidden=4), deciders.Confidence()]
        ),
    )
    stopping.build((None, 8, 8, 3))
    logits = as_numpy(stopping.outcome(images).exits)["early"]
    certain = np.exp(logits).max(axis=1) / np.exp(logits).sum(axis=1)
    stopping.decider.deciders[2].set_thresholds([float(np.median(certain))])
    agrees(stopping, images, lite.export(stopping, outputs=ALL, fold="never"))
