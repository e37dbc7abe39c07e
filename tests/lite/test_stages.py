"""Stages cut from a file with exits: together they are the file, without its IFs."""

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite, models

CHOICES = [None, [np.inf] * 3, [0.0] * 3, [0.5, 0.7, 0.9], [0.95, 0.6, 0.4], [0.8, 0.8, 0.8]]


def agree(exported, images, choices=(None,)):
    """Holds logits and exits of the stages against the whole file's; returns the exits."""
    whole, staged, seen = lite.Interpreter(exported), lite.Stages(lite.stages(exported)), []
    for thresholds in choices:
        further = {} if thresholds is None else {"thresholds": thresholds}
        for image in images:
            one, other = whole.run(image, **further), staged.run(image, thresholds)
            np.testing.assert_allclose(other.logits, one["logits"], atol=1e-6)
            assert other.exit == one["decisions"].sum()
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


def test_what_cannot_be_cut_is_one_sentence(tiny, stopping, images):
    with pytest.raises(ValueError, match=r"decides its exits alone, got decisions \['one', 'two'\]"):
        lite.stages(lite.export(tiny()))
    with pytest.raises(ValueError, match=r"decides its exits alone, got decisions \[\]"):
        lite.stages(lite.export(tiny(layers.Always())))
    networks = [tiny(layers.Always(), seed=seed, name=f"net{seed}") for seed in range(2)]
    with pytest.raises(ValueError, match=r"got decisions \['net1'\] of which exits are \[\]"):
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
