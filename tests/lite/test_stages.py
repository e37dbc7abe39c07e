"""Stages cut from a file with exits: together they are the file, without its IFs."""

import functools

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite, models, ops
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.metadata import macs_under

CHOICES = [None, [np.inf] * 3, [0.0] * 3, [0.5, 0.7, 0.9], [0.95, 0.6, 0.4], [0.8, 0.8, 0.8]]


def agree(exported, images, choices=(None,)):
    """Holds logits and exits of the stages, as files and as one, against the whole file's; returns the exits."""
    made, seen = lite.stages(exported), []
    joined = lite.join_stages(made)
    whole, staged = lite.Interpreter(exported), lite.Stages(made)
    others = [lite.Stages(joined), lite.Stages(lite.float_io(joined))]
    table, names = lite.read_metadata(exported)["cost"], lite.read_metadata(exported)["decisions"]
    for thresholds in choices:
        further = {} if thresholds is None else {"thresholds": thresholds}
        for image in images:
            one, other = whole.run(image, **further), staged.run(image, thresholds)
            np.testing.assert_allclose(other.logits, one["logits"], atol=1e-6)
            assert other.exit == one["decisions"].sum()
            assert other.macs == macs_under(table, dict(zip(names, one["decisions"][0], strict=True)))
            for same in (each.run(image, thresholds) for each in others):
                np.testing.assert_array_equal(same.logits, other.logits)
                assert same[1:] == other[1:]
            seen.append(other.exit)
    return seen


@pytest.mark.parametrize("thresholds", ["baked", "input"])
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_they_answer_and_stop_as_the_whole(int8, thresholds, stopping_file, images):
    seen = agree(stopping_file(int8, thresholds), images, CHOICES if thresholds == "input" else [None])
    assert set(seen) == {0, 1, 2, 3}


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_they_have_no_if_and_their_macs_add_up(int8, stopping_file):
    exported = stopping_file(int8, "input")
    names, total = lite.read_metadata(exported)["decisions"], 0
    made = lite.stages(exported)
    assert len(made) == len(names) + 1
    for index, stage in enumerate(made):
        assert {row.name for row in lite.list_operators(stage)}.isdisjoint({"IF", "SELECT", "SELECT_V2"})
        found = lite.verify(stage)
        assert (found.subgraphs, found.decisions, found.quantize) == (1, (), "int8" if int8 else None)
        total += lite.count_macs(stage, {})
        assert total == lite.count_macs(exported, {name: place < index for place, name in enumerate(names)})
    assert total == lite.verify(exported).macs_all_on


def test_their_ports_have_names(stopping_file):
    made = [lite.Interpreter(stage) for stage in lite.stages(stopping_file(True, "input"))]
    assert [sorted(each.inputs) for each in made] == [
        ["image", "thresholds"],
        ["state_0", "thresholds"],
        ["state_1", "thresholds"],
        ["state_2"],
    ]
    assert [sorted(each.outputs) for each in made] == [
        *(["go_on", "logits", f"state_{k}"] for k in range(3)),
        ["logits"],
    ]
    assert made[0].outputs["state_0"].scale == made[1].inputs["state_0"].scale > 0
    assert len({(each.outputs["logits"].scale, each.outputs["logits"].zero_point) for each in made}) == 1


@pytest.mark.ci
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("transfer", [pytest.param(None, marks=pytest.mark.ci), 4])
def test_exits_that_go_on_from_one_another(transfer, int8, stopping, images):
    def joined(head):
        between = None if transfer is None else [keras.layers.Dense(transfer), keras.layers.Dense(3)]
        return layers.Collaborative(head, between)

    model = stopping(heads=(None, joined, joined))
    exported = lite.export(model, "int8" if int8 else None, images, ("logits", "decisions"), thresholds="input")
    assert len(set(agree(exported, images, CHOICES))) > 2


def test_patience(stopping, images):
    model = stopping(deciders.Patience(2))
    seen = agree(lite.export(model, outputs=("logits", "decisions")), images)
    assert len(set(seen)) > 1


@pytest.mark.ci
def test_a_multi_scale_network():
    keras.utils.set_random_seed(0)
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    network = models.msdnet(num_classes=7, blocks=3, base=1, step=1, step_mode="even", channels=4, growth=2)
    model = layers.DynamicModel(network.chain, deciders.Confidence())
    model.build((None, 32, 32, 3))
    exported = lite.export(model, None, pictures, ("logits", "decisions"), thresholds="input")
    table = lite.read_metadata(exported)["budgets"]
    choices = [[np.inf, np.inf], [0.0, 0.0], lite.thresholds_for(exported, (table[0]["macs"] + table[-1]["macs"]) / 2)]
    assert set(agree(exported, pictures, choices)) == {0, 1, 2}
    first = lite.stages(exported)[0]
    assert lite.thresholds_for(first, 1e12).tolist() == [np.inf, np.inf]
    with pytest.raises(ValueError, match="give the model that the stages were cut from"):
        lite.thresholds_for(first, deadline=1e12)


@pytest.fixture(scope="module")
def cascaded(tiny, images):
    """cascaded(int8, thresholds) -> .tflite of a cascade of three, at each of which some of the images stop."""

    @functools.cache
    def export(int8, thresholds):
        networks = [tiny(layers.Always(), seed=seed, name=f"net{seed}") for seed in range(3)]
        model = models.cascade(networks)
        first, second = (network(images) for network in networks[:2])
        certain = [ops.max_probability(logits) for logits in (first, first + second)]
        model.decider.set_thresholds([float(np.quantile(each, 0.7)) for each in certain])
        return lite.export(model, "int8" if int8 else None, images, ("logits", "decisions"), thresholds=thresholds)

    return export


@pytest.mark.parametrize("thresholds", ["baked", "input"])
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_a_cascade(int8, thresholds, cascaded, images):
    exported = cascaded(int8, thresholds)
    assert set(agree(exported, images)) == {0, 1, 2}
    made = lite.stages(exported)
    assert [lite.verify(stage).macs_all_on for stage in made] == [row["macs"] for row in cost_of(exported)]


def cost_of(exported):
    return lite.read_metadata(exported)["cost"]


def test_one_file_has_what_a_host_must_know(stopping_file):
    made = lite.stages(stopping_file(True, "input"))
    joined = lite.join_stages(made)
    metadata = lite.read_metadata(joined)
    assert metadata["stages"] == ["stage_1", "stage_2", "stage_3", "stage_4"]
    assert metadata["stage_macs"] == [lite.count_macs(stage, {}) for stage in made]
    assert metadata["stops_at"] == [0, 1, 2, 3]
    assert metadata["stage_inputs"] == [
        ["image", "thresholds"],
        *(["thresholds", f"state_{k}"] for k in range(2)),
        ["state_2"],
    ]
    assert metadata["stage_outputs"] == [*(["logits", "go_on", f"state_{k}"] for k in range(3)), ["logits"]]
    assert metadata["thresholds"] == lite.read_metadata(stopping_file(True, "input"))["thresholds"]
    assert metadata["measures"] == ["max_probability"] * 3
    parsed = flatbuffer.load(joined)
    assert [signature.signatureKey for signature in parsed.signatureDefs] == metadata["stages"]
    assert {row.name for row in lite.list_operators(joined)}.isdisjoint({"IF", "SELECT", "SELECT_V2"})
    contents = [bytes(buffer.data) for buffer in parsed.buffers if buffer.data is not None]
    assert len(contents) == len(set(contents))
    assert len(joined) < sum(map(len, made))


def test_one_file_is_no_model(stopping_file, tmp_path):
    joined = lite.join_stages(lite.stages(stopping_file(True, "input")))
    for use in (
        lite.verify,
        lambda content: lite.count_macs(content, {}),
        lambda content: lite.with_outputs(content, ["logits"]),
        lambda content: lite.to_c(content, tmp_path / "made"),
        lite.stages,
    ):
        with pytest.raises(ValueError, match=r"got one with the stages \['stage_1', .*or run it by kd.lite.Stages"):
            use(joined)
    with pytest.raises(ValueError, match=r"one named 'serving_default', got \['stage_1', .* kd.lite.Stages runs"):
        lite.Interpreter(joined)


def test_stages_that_do_not_belong_together(tiny, stopping_file, cascaded):
    made, others = lite.stages(stopping_file(False, "input")), lite.stages(cascaded(False, "input"))
    whole, plain = stopping_file(False, "input"), lite.write_metadata(made[0], {"version": 1})
    bare = lite.export(tiny(layers.Always()))
    refused = {
        r"all 4 stages of a model, in order, got those of number \[1, 2, 4\]": [*made[:2], made[3]],
        r"all 4 stages of a model, in order, got those of number \[2, 1, 3, 4\]": [made[1], made[0], *made[2:]],
        "Expected stages of one model, got some of another": [made[0], *others[1:]],
        "Expected the files that kd.lite.stages returned, got others": [whole],
        "files that kd.lite.stages returned, got others; cut": [plain, *made[1:]],
        "files that kd.lite.stages returned, got others;": [],
    }
    for message, models_ in refused.items():
        for use in (lite.join_stages, lite.Stages):
            with pytest.raises(ValueError, match=message):
                use(models_)
    with pytest.raises(ValueError, match="Expected stages, got a file that has none; cut it by"):
        lite.Stages(bare)
    with pytest.raises(ValueError, match="with 'keras_dynamic' metadata, got one without"):
        lite.join_stages([flatbuffer.edited(made[0], lambda model: setattr(model, "metadata", []))])


def test_what_cannot_be_cut_is_one_sentence(tiny, stopping, images):
    with pytest.raises(ValueError, match=r"decides its exits alone, got decisions \['one', 'two'\]"):
        lite.stages(lite.export(tiny()))
    with pytest.raises(ValueError, match=r"decides its exits alone, got decisions \[\]"):
        lite.stages(lite.export(tiny(layers.Always())))
    one_gate = tiny(deciders.PerUnitGates(always=["two"], open_probability=0.5))
    with pytest.raises(ValueError, match=r"got decisions \['one'\] of which exits are \[\]; give a network with exits"):
        lite.stages(lite.export(one_gate))
    networks = [tiny(layers.Always(), name="net0"), tiny(seed=1, name="net1")]
    with pytest.raises(ValueError, match=r"got decisions \['net1', 'net1/one', 'net1/two'\] of which exits are \[\]"):
        lite.stages(lite.export(models.cascade(networks)))
    gated = stopping(deciders.ExitGates((4,)))
    gated.outcome(images)
    with pytest.raises(ValueError, match="exit 'exit1' has layers of its own that run only for images that stop"):
        lite.stages(lite.export(gated))


def test_bad_inputs_are_one_sentence(stopping_file, images):
    staged = lite.Stages(lite.stages(stopping_file(False, "input")), kernels="builtin")
    with pytest.raises(ValueError, match="thresholds must be 3 numbers from 0 to 1"):
        staged.run(images[0], [0.5])
    with pytest.raises(ValueError, match=r"got \[4, 8, 3\]"):
        staged.run(images[0][:4])
    with pytest.raises(ValueError, match="takes no thresholds as an input"):
        lite.Stages(lite.stages(stopping_file(False, "baked"))).run(images[0], [0.5] * 3)
