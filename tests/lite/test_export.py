"""Exported models answer, decide and cost as in Keras; what cannot be exported is said in a sentence."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, data, deciders, layers, lite, models, zoo

IMAGES = 40


@pytest.fixture(scope="module")
def images():
    return data.shipped()


@pytest.fixture(scope="module")
def gated():
    return zoo.load("resnet32_cifar10_gated")


@pytest.fixture(scope="module")
def cascade(images):
    model = models.cascade([zoo.load("resnet8_cifar10_45k"), zoo.load("resnet32_cifar10_gated")])
    model.fit_thresholds(images.x_heldout[:100], quantiles=[0.5])
    return model


def run(model, x):
    runner = lite.Interpreter(model)
    found = [runner.run(image) for image in x]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


@pytest.mark.parametrize("name", ["gated", pytest.param("cascade", marks=pytest.mark.ci)])
def test_float32_answers_decides_and_costs_as_keras(name, images, request):
    model, x = request.getfixturevalue(name), images.x_test[:IMAGES]
    exported = lite.export(model, outputs=("logits", "decisions", "macs"))
    found, outcome = run(exported, x), model.outcome(x, training=False)
    np.testing.assert_allclose(found["logits"], np.asarray(outcome.logits), atol=1e-4)
    decisions = {key: np.asarray(value) for key, value in outcome.decisions.items()}
    np.testing.assert_array_equal(found["decisions"], np.stack(list(decisions.values()), axis=1))
    unit = lite.read_metadata(exported)["macs_unit"]
    np.testing.assert_array_equal(found["macs"] * unit, cost.given(model.cost_tree, decisions))
    assert 0 < np.mean(found["decisions"]) < 1


@pytest.mark.ci
def test_int8_decides_nearly_as_keras_and_holds_no_float(gated, images):
    exported = lite.export(gated, "int8", images.x_heldout[:100], outputs=("logits", "decisions"))
    assert lite.verify(exported).quantize == "int8"
    found, outcome = run(exported, images.x_test[:IMAGES]), gated.outcome(images.x_test[:IMAGES], training=False)
    expected = np.stack([np.asarray(value) for value in outcome.decisions.values()], axis=1)
    assert np.mean(found["decisions"] != expected) <= 0.05


@pytest.mark.ci
def test_int8_thresholds_let_through_as_many_as_in_float32(images):
    model = models.cascade([zoo.load("resnet8_cifar10_45k"), zoo.load("resnet20_cifar10_45k")])
    held_out = images.x_heldout[:200]
    model.fit_thresholds(held_out, quantiles=[0.25])  # well under the share that int8's last step, 255/256, holds
    exported = lite.export(model, "int8", held_out, outputs=("logits", "decisions"))
    assert np.mean(run(exported, held_out)["decisions"]) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("decider", [deciders.Never(), deciders.FirstK(1), deciders.Pattern({"stage2_unit1": 0})])
def test_fixed_decisions_leave_no_if(decider):
    model = layers.DynamicModel(models.resnet_cifar(8, width=4).chain, decider)
    model.build((None, 32, 32, 3))
    exported = lite.export(model)
    found = lite.verify(exported)
    outcome = model.outcome(np.zeros((1, 32, 32, 3), "float32"))
    assert (found.conditionals, found.decisions) == (0, ())
    assert found.macs_all_on == cost.given(model.cost_tree, outcome.decisions)[0]


def exit_after_one():
    return layers.Exit([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(7)], after="one", name="early")


@pytest.mark.parametrize("nested", [False, True])
def test_exits_are_neither_in_the_file_nor_in_its_cost(nested, tiny):
    model, bare = tiny(seed=1, exits=[exit_after_one()]), tiny(seed=1)
    if nested:
        model, bare = (models.cascade([tiny(layers.Always(), seed=2), network]) for network in (model, bare))
        for each in (model, bare):
            each.build((None, 8, 8, 3))
    assert model.cost_tree.total_macs == bare.cost_tree.total_macs + 4 * 7
    assert lite.verify(lite.export(model)).macs_all_on == bare.cost_tree.total_macs


def test_outputs_may_be_one_name(tiny):
    exported = lite.export(tiny(), outputs="decisions")
    assert set(lite.Interpreter(exported).run(np.zeros((8, 8, 3), "uint8"))) == {"logits", "decisions"}


def test_an_unbuilt_model_is_an_error():
    with pytest.raises(ValueError, match="not built"):
        lite.export(layers.DynamicModel(models.resnet_cifar(8).chain))


def test_what_is_no_built_model_is_an_error():
    with pytest.raises(ValueError, match="takes a built functional or sequential Keras model, got Sequential"):
        lite.export(keras.Sequential([keras.layers.Dense(1)]))
    with pytest.raises(ValueError, match="takes a DynamicModel, got str"):
        lite.export("resnet")


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "int8 needs calibration images"),
        (np.zeros((4, 16, 16, 3)), r"must have shape \[n, 32, 32, 3\], got \[4, 16, 16, 3\]"),
        (np.full((4, 32, 32, 3), 0.5), "pixel values 0 to 255, got 0.5 to 0.5"),
        (np.full((4, 32, 32, 3), -1.0), "pixel values 0 to 255, got -1 to -1"),
        (np.full((4, 32, 32, 3), np.nan), "finite numbers, got NaN"),
        ((np.zeros((4, 32, 32, 3)), np.zeros(4)), "got a tuple of parts of different shapes; .* without labels"),
        (7, r"must have shape \[n, 32, 32, 3\], got \[\]"),
    ],
)
def test_calibration_that_cannot_be_is_an_error(gated, calibration, message):
    with pytest.raises(ValueError, match=message):
        lite.export(gated, "int8", calibration)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"quantize": "int4"}, r"quantize must be one of .* got 'int4'"), ({"outputs": ("mac",)}, "did you mean 'macs'")],
)
def test_unknown_arguments_are_errors(gated, arguments, message):
    with pytest.raises(ValueError, match=message):
        lite.export(gated, **arguments)
