"""A network up to one of its exits: that exit's answers, the cost of what it computes, the same layers."""

import keras
import numpy as np
import pytest

from keras_dynamic import lite, models, transform
from keras_dynamic.layers import Always, Collaborative, DynamicModel, Exit

STEM, UNIT, HEAD = 64 * 27 * 4, 2 * 64 * 9 * 4 * 4, 4 * 3


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def head():
    return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]


@pytest.fixture
def plain(toy_chain):
    exits = [Exit(head(), f"unit{k}", name=f"exit{k}") for k in (1, 2)]
    model = DynamicModel(toy_chain(units=3, exits=exits), name="toy")
    model.build((None, 8, 8, 3))
    return model


@pytest.mark.parametrize(("name", "units"), [("exit1", 1), ("exit2", 2)])
def test_it_answers_as_the_exit_and_costs_what_it_computes(name, units, plain, toy_images):
    made = transform.until_exit(plain, name)
    assert (made.name, type(made.decider), made.decision_names) == (f"toy_{name}", Always, [])
    np.testing.assert_allclose(array(made(toy_images())), array(plain.outcome(toy_images()).exits[name]), atol=1e-6)
    assert made.cost_tree.total_macs == STEM + units * UNIT + HEAD  # no other exit
    found = lite.verify(lite.export(made))
    assert (found.conditionals, found.macs_all_on) == (0, made.cost_tree.total_macs)


def test_layers_are_shared(plain, toy_images):
    made = transform.until_exit(plain, "exit1")
    before = array(made(toy_images()))
    plain.chain.exits[0].head.layers[-1].bias.assign([1.0, 2.0, 3.0])
    np.testing.assert_allclose(array(made(toy_images())) - before, np.tile([1.0, 2.0, 3.0], (6, 1)), atol=1e-5)


def test_answers_that_the_exit_goes_on_from_are_computed_and_no_others(toy_chain, toy_images):
    joined = [Collaborative(keras.Sequential(head())), None, Collaborative(keras.Sequential(head()))]
    exits = [Exit(inner or head(), f"unit{k}", name=f"exit{k}") for k, inner in zip((2, 3, 4), joined, strict=True)]
    exits.insert(0, Exit(head(), "unit1", name="exit1"))
    model = DynamicModel(toy_chain(units=5, exits=exits))
    model.build((None, 8, 8, 3))
    wanted = model.outcome(toy_images()).exits
    for name, heads in (("exit1", 1), ("exit2", 2), ("exit3", 1), ("exit4", 2)):
        made = transform.until_exit(model, name)
        np.testing.assert_allclose(array(made(toy_images())), array(wanted[name]), atol=1e-5)
        assert made.cost_tree.total_macs == STEM + int(name[-1]) * UNIT + heads * HEAD
        assert lite.verify(lite.export(made)).macs_all_on == made.cost_tree.total_macs


def test_it_saves_and_loads(plain, toy_images, fresh_process):
    made = transform.until_exit(plain, "exit2")
    np.testing.assert_allclose(fresh_process(made, toy_images())["logits"], array(made(toy_images())), atol=1e-5)


@pytest.mark.ci
@pytest.mark.parametrize("hidden", [*(pytest.param(hidden, marks=pytest.mark.ci) for hidden in (None, 0)), 5])
def test_scales_that_the_exit_does_not_need_are_left_out(hidden):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    model = models.msdnet(num_classes=7, blocks=3, base=1, step=1, step_mode="even", channels=4, growth=2)
    model.build((None, 32, 32, 3))
    model = model if hidden is None else transform.collaborate(model, hidden)
    wanted, costs = model.outcome(images).exits, []
    for name in model.chain.exit_names:
        made = transform.until_exit(model, name)
        np.testing.assert_allclose(array(made(images)), array(wanted[name]), atol=1e-4)
        exported = lite.export(made)  # which holds its MACs against the cost
        costs.append(made.cost_tree.total_macs)
        found = lite.Interpreter(exported).run(images[0])["logits"]
        np.testing.assert_allclose(found, array(wanted[name])[:1], atol=1e-4)
    assert costs[0] < costs[1] < model.cost_tree.total_macs


def test_what_cannot_be_is_an_error(plain, toy_chain):
    with pytest.raises(ValueError, match=r"no exit 'exit3' \(did you mean 'exit2'\?\); its exits are"):
        transform.until_exit(plain, "exit3")
    with pytest.raises(ValueError, match="not built"):
        transform.until_exit(DynamicModel(toy_chain()), "exit1")
