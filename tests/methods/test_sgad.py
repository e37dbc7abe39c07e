"""SGAD: its loss by hand, where gradients go, what is left at inference, its errors, saving and learning."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import lite
from keras_dynamic.data import Batches
from keras_dynamic.deciders import BinaryMaskNetwork, PerUnitGates, Policy
from keras_dynamic.layers import DynamicModel
from keras_dynamic.methods import SGAD, fit_guideline
from keras_dynamic.models import guideline_network
from tests.methods.guided import learn, losses_by_hand
from tests.methods.learning import colours

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
OUTPUTS = ("logits", "decisions", "macs")
WEIGHTS = {"task_weight": 2.0, "mask_weight": 3.0, "guideline_weight": 0.5}


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def small_guideline():
    """A guideline for three classes that is sure of some images and unsure of others."""
    network = guideline_network(3, (4,))
    network.build((None, 8, 8, 3))
    kernel = network.layers[-1].kernel
    kernel.assign(8 * kernel)
    return network


def sgad(chain, decider=None, **arguments):
    """SGAD on the toy chain; unless told otherwise BMNet runs units for about half of the images, without noise."""
    decider = decider or BinaryMaskNetwork(open_probability=0.5, grid=2, seed=0)
    model = SGAD(chain, decider, **arguments)
    model.build((None, 8, 8, 3))
    return model


def twins(toy_chain, *differences, **shared):
    """Models of equal weights that differ in some arguments."""
    models = []
    for arguments in differences:
        models.append(sgad(toy_chain(units=4), guideline=small_guideline(), **shared, **arguments))
        models[-1].set_weights(models[0].get_weights())
    return models


def step_of(model, images, labels):
    """How one step of SGD at rate 1 moves each part, {role: [array]}; statistics of batch norm and seeds left out."""
    model.compile(keras.optimizers.SGD(1.0), LOSS)
    parts = {role: part.trainable_variables for role, part in model.transferable.items()}
    before = {role: [array(variable) for variable in part] for role, part in parts.items()}
    model.train_on_batch(images, labels)
    return {
        role: [array(variable) - start for variable, start in zip(part, before[role], strict=True)]
        for role, part in parts.items()
    }


def moved(steps):
    return max(np.abs(step).max() for step in steps)


@pytest.mark.parametrize("s_max", [0.2, 0.8])
def test_the_loss_of_a_step_is_equation_12(s_max, toy_chain, toy_images):
    model = sgad(toy_chain(units=4), guideline=small_guideline(), s_max=s_max, **WEIGHTS)
    images, labels = toy_images(16), np.arange(16) % 3
    parts = losses_by_hand(model, images, labels)
    further = model.outcome_losses(images, labels, model.outcome(images, training=True))
    assert list(further) == ["mask", "guideline"]
    assert float(further["mask"]) == pytest.approx(3.0 * parts["mask"], rel=1e-4)
    assert float(further["guideline"]) == pytest.approx(0.5 * parts["guideline"], rel=1e-4)
    model.compile(keras.optimizers.SGD(0.0), LOSS)
    wanted = 2.0 * parts["task"] + 3.0 * parts["mask"] + 0.5 * parts["guideline"]
    assert model.train_on_batch(images, labels, return_dict=True)["loss"] == pytest.approx(wanted, rel=1e-4)
    assert min(parts.values()) > 0.01


def test_evaluation_has_the_compiled_loss_alone(toy_chain, toy_images):
    model = sgad(toy_chain(), **WEIGHTS)
    model.compile("sgd", LOSS)
    images, labels = toy_images(8), np.arange(8) % 3
    found = model.evaluate(images, labels, return_dict=True, verbose=0)
    assert found["loss"] == pytest.approx(float(LOSS(labels, model(images))), rel=1e-5)


def test_weight_decay_and_distillation_are_added(toy_chain, toy_images):
    model = sgad(toy_chain(), teacher=DynamicModel(toy_chain(seed=1)), weight_decay=0.1)
    images, labels = toy_images(8), np.arange(8) % 3
    losses = model.outcome_losses(images, labels, model.outcome(images))
    assert set(losses) == {"mask", "guideline", "distillation", "weight_decay"}


@pytest.mark.parametrize("labels", [np.arange(8)[:, None] % 3, np.eye(3, dtype=np.float32)[np.arange(8) % 3]])
def test_labels_may_be_a_column_or_one_hot(labels, toy_chain, toy_images):
    model, images = sgad(toy_chain(), guideline=small_guideline()), toy_images(8)
    outcome = model.outcome(images)
    wanted = float(model.outcome_losses(images, np.arange(8) % 3, outcome)["guideline"])
    assert float(model.outcome_losses(images, labels, outcome)["guideline"]) == pytest.approx(wanted, rel=1e-6)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True) if labels.shape[1] == 3 else LOSS
    model.compile("sgd", loss)
    model.train_on_batch(images, labels)


@pytest.mark.ci
def test_the_regulariser_does_not_reach_the_guideline(toy_chain, toy_images):
    images, labels = toy_images(16), np.arange(16) % 3
    without, with_it = (
        step_of(model, images, labels) for model in twins(toy_chain, {"mask_weight": 0.0}, {"mask_weight": 1.0})
    )
    assert moved(with_it["guideline"]) > 1e-3
    for mine, theirs in zip(without["guideline"], with_it["guideline"], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert max(np.abs(a - b).max() for a, b in zip(without["decider"], with_it["decider"], strict=True)) > 1e-3


@pytest.mark.ci
def test_the_guidelines_cross_entropy_reaches_nothing_else(toy_chain, toy_images):
    images, labels = toy_images(16), np.arange(16) % 3
    models = twins(toy_chain, {"guideline_weight": 0.0}, {"guideline_weight": 1.0}, mask_weight=1.0)
    without, with_it = (step_of(model, images, labels) for model in models)
    assert moved(without["guideline"]) == 0.0
    assert moved(with_it["guideline"]) > 1e-3
    for role in ("chain", "decider"):
        assert moved(with_it[role]) > 1e-3
        for mine, theirs in zip(without[role], with_it[role], strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_the_guidelines_batch_norm_moves_in_training_alone(toy_chain, toy_images):
    model = sgad(toy_chain(), guideline=small_guideline())
    (norm,) = [layer for layer in model.guideline.layers if isinstance(layer, layers.BatchNormalization)]
    model.compile(keras.optimizers.SGD(0.0), LOSS)
    images, labels = toy_images(8), np.arange(8) % 3
    for run, moves in ((model.test_on_batch, False), (model.train_on_batch, True)):
        before = array(norm.moving_mean)
        run(images, labels)
        assert (np.abs(array(norm.moving_mean) - before).max() > 1e-5) == moves


def test_the_guideline_leaves_at_inference(toy_chain, toy_images):
    model = sgad(toy_chain(units=4), guideline=small_guideline(), name="net")
    bare, images = DynamicModel(model.chain, model.decider, name="net"), toy_images(8)
    assert model.cost_tree == bare.cost_tree
    assert [child.name for child in model.cost_tree.children][:2] == ["stem", "bmnet"]
    keras.tree.map_structure(np.testing.assert_array_equal, *(each.outcome(images).decisions for each in (model, bare)))
    np.testing.assert_array_equal(array(model(images)), array(bare(images)))
    guided, left = lite.export(model, outputs=OUTPUTS), lite.export(bare, outputs=OUTPUTS)
    assert len(guided) == len(left)
    assert lite.read_metadata(guided) == lite.read_metadata(left)
    for image in images[:3]:
        mine, theirs = (lite.Interpreter(exported).run(image) for exported in (guided, left))
        keras.tree.map_structure(np.testing.assert_array_equal, mine, theirs)


def test_a_constant_ratio_asks_all_images_alike(toy_chain, toy_images, tmp_path):
    model = sgad(toy_chain(units=4), constant_ratio=0.4, mask_weight=2.0)
    images, labels = toy_images(16), np.arange(16) % 3
    outcome = model.outcome(images, training=True)
    losses = model.outcome_losses(images, labels, outcome)
    assert list(losses) == ["mask"]
    dropped = np.mean([[*(1 - array(value) for value in outcome.decisions.values()), np.zeros(16)]], axis=1)
    assert float(losses["mask"]) == pytest.approx(2.0 * np.abs(0.4 - dropped).mean(), rel=1e-5)
    assert model.guideline is None
    assert model.expected_ratio(images) == (0.4, None)
    assert set(model.transferable) == {"chain", "decider"}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.constant_ratio, loaded.guideline) == (0.4, None)
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)


def functional_guideline():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.Rescaling(1 / 255)(image))))


@pytest.mark.parametrize("kind", ["functional", "sequential", "dynamic"])
def test_a_guideline_may_be_any_classifier(kind, toy_chain, toy_images):
    guideline = {
        "functional": functional_guideline,
        "sequential": lambda: keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3)]),
        "dynamic": lambda: DynamicModel(toy_chain(units=1, seed=1)),
    }[kind]()
    model = sgad(toy_chain(), guideline=guideline)
    assert model.transferable["guideline"] is guideline
    found = step_of(model, toy_images(8), np.arange(8) % 3)
    assert moved(found["guideline"]) > 0
    ratio, logits = model.expected_ratio(toy_images(8))
    np.testing.assert_array_equal(array(logits), array(guideline(toy_images(8))))
    assert ratio.shape == (8,)
    assert 0 <= array(ratio).min() <= array(ratio).max() < 0.8


def test_by_default_there_is_a_guideline_for_the_chains_classes(toy_chain):
    model = sgad(toy_chain(classes=5))
    assert model.guideline.layers[-1].units == 5
    assert isinstance(model.decider, BinaryMaskNetwork)
    assert type(SGAD(toy_chain()).decider) is BinaryMaskNetwork


@pytest.mark.ci
def test_mixed_precision(toy_chain, toy_images):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = sgad(toy_chain(), guideline=functional_guideline())
        images, labels = toy_images(8), np.arange(8) % 3
        losses = model.outcome_losses(images, labels, model.outcome(images, training=True))
        assert {keras.backend.standardize_dtype(value.dtype) for value in losses.values()} == {"float32"}
        step_of(model, images, labels)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"s_max": 0.0}, r"s_max must be a positive number, got 0\.0"),
        ({"s_max": -0.2}, r"s_max must be a positive number, got -0\.2"),
        ({"s_max": 1.0}, r"s_max must lie strictly between 0 and 1, got 1\.0; the paper takes 0\.2 and 0\.8"),
        ({"s_max": 80}, "s_max must lie strictly between 0 and 1, got 80"),
        ({"s_max": "0.8"}, "s_max must be a positive number, got '0.8'"),
        ({"s_max": float("nan")}, "s_max must be a positive number, got nan"),
        ({"task_weight": 0.0}, r"task_weight must be a positive number, got 0\.0"),
        ({"mask_weight": -1.0}, r"mask_weight must be a non-negative number, got -1\.0"),
        ({"guideline_weight": -0.3}, r"guideline_weight must be a non-negative number, got -0\.3"),
        ({"constant_ratio": 1.0}, r"constant_ratio must be at least 0 and under 1, got 1\.0"),
        ({"constant_ratio": -0.1}, r"constant_ratio must be a non-negative number, got -0\.1"),
        (
            {"constant_ratio": 0.5, "guideline": guideline_network(3)},
            "give a guideline or a constant_ratio for all images, not both",
        ),
    ],
)
def test_wrong_arguments_are_an_error(arguments, message, toy_chain):
    with pytest.raises(ValueError, match=message):
        SGAD(toy_chain(), **arguments)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_guideline_with_another_number_of_classes_is_an_error(classes, toy_chain):
    message = (
        r"guideline 'guideline' must give a logit for each of the network's 3 classes, \[batch, 3\], "
        rf"got \[None, {classes}\]"
    )
    with pytest.raises(ValueError, match=message):
        sgad(toy_chain(), guideline=guideline_network(classes, (4,)))


@pytest.mark.parametrize("units", [0, 1])
def test_fewer_than_two_units_are_an_error(units, toy_chain):
    with pytest.raises(ValueError, match="needs at least two units that can be skipped"):
        sgad(toy_chain(units=units))


@pytest.mark.parametrize("training", [False, True])
def test_saving_and_loading_in_a_fresh_process(training, toy_chain, toy_images, fresh_process):
    decider = BinaryMaskNetwork(open_probability=0.5, grid=2, noise=1.0, seed=4)
    model = sgad(toy_chain(units=4), decider, guideline=small_guideline())
    images = toy_images(20)
    found = fresh_process(model, images, training)
    outcome = model.outcome(images, training=training)
    for name, value in outcome.decisions.items():
        np.testing.assert_array_equal(found[f"decisions {name}"], value)
    np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-5)


def test_a_guideline_that_ends_in_a_softmax_is_an_error(toy_chain):
    guideline = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax", name="answers")])
    with pytest.raises(ValueError, match="must end in logits, got Dense 'answers' with activation 'softmax'"):
        sgad(toy_chain(), guideline=guideline)


def test_a_guideline_with_several_outputs_is_an_error(toy_chain):
    image = keras.Input((8, 8, 3))
    features = layers.Flatten()(image)
    guideline = keras.Model(image, [layers.Dense(3)(features), layers.Dense(3)(features)], name="two")
    with pytest.raises(
        ValueError, match=r"guideline 'two' must give a logit for each .* got \[\[None, 3\], \[None, 3\]\]"
    ):
        sgad(toy_chain(), guideline=guideline)


def test_a_decider_that_gradients_cannot_teach_is_an_error(toy_chain):
    policy = Policy(keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3)]))
    with pytest.raises(ValueError, match="a BinaryMaskNetwork or PerUnitGates, got Policy; give one of them"):
        SGAD(toy_chain(), policy)


def test_a_guideline_that_shares_weights_with_the_network_is_an_error(toy_chain):
    shared = toy_chain()
    guideline = DynamicModel(shared, name="other")
    guideline.build((None, 8, 8, 3))
    model = SGAD(shared, BinaryMaskNetwork(grid=2), guideline)
    with pytest.raises(ValueError, match="the guideline 'other' shares weights with the network that learns from it"):
        model.build((None, 8, 8, 3))


@pytest.mark.ci
def test_loading_keeps_arguments_guideline_and_training(toy_chain, tmp_path):
    arguments = {"s_max": 0.3, **WEIGHTS, "weight_decay": 0.1}
    model = sgad(toy_chain(), **arguments)
    model.compile(keras.optimizers.SGD(0.1), LOSS)
    model.decider.set_noise(0.5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is SGAD
    for name, value in arguments.items():
        assert getattr(loaded, name) == value
    images, labels = colours(16)
    np.testing.assert_allclose(loaded.expected_ratio(images)[0], model.expected_ratio(images)[0], atol=1e-6)
    losses = [
        each.fit(images, labels, epochs=1, shuffle=False, verbose=0).history["loss"][0] for each in (model, loaded)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_other_deciders_can_be_guided(toy_chain, toy_images):
    model = sgad(toy_chain(), PerUnitGates(open_probability=0.6, seed=0), guideline=small_guideline())
    found = step_of(model, toy_images(8), np.arange(8) % 3)
    assert moved(found["decider"]) > 0


@pytest.mark.ci
def test_it_learns_to_drop_units_for_easy_images():
    found = learn()
    assert found["losses"][-1] < 0.6 * found["losses"][0]
    assert found["right_easy"] > 0.95
    assert found["expected_easy"] > found["expected_hard"] + 0.2
    assert found["units_easy"] < found["units_hard"] - 1
    assert found["correlation"] < -0.5
    assert found["noise"] == 1.0


@pytest.mark.ci
def test_fitting_the_guideline_leaves_the_chain_alone_and_comes_nearer_to_what_is_asked(toy_chain):
    keras.utils.set_random_seed(0)
    images, labels = colours(128)
    model = sgad(toy_chain(units=4), guideline=guideline_network(3, (8,)), s_max=0.8)
    before = [array(variable) for variable in model.chain.weights]
    model.decider.set_noise(0.25)
    found = fit_guideline(model, Batches(images, labels, 32), epochs=12, learning_rate=0.01, verbose=0)
    assert float(model.decider.noise) == 0.25
    for variable, start in zip(model.chain.weights, before, strict=True):
        np.testing.assert_array_equal(array(variable), start)
    assert list(found) == ["drop_ratio", "guideline"]
    assert len(found["guideline"]) == 12
    assert found["guideline"][-1] < 0.8 * found["guideline"][0]
    outcome = model.outcome(images)
    dropped = sum(1 - array(value) for value in outcome.decisions.values()) / 4
    asked = array(model.expected_ratio(images)[0])
    assert abs(dropped.mean() - asked.mean()) < 0.15  # half of three units at first, so 0.375


def test_without_a_guideline_the_decider_is_fitted_to_the_constant_ratio(toy_chain):
    keras.utils.set_random_seed(0)
    images, labels = colours(64)
    model = sgad(toy_chain(units=4), constant_ratio=0.75)
    found = fit_guideline(model, Batches(images, labels, 32), epochs=20, learning_rate=0.02, verbose=0)
    assert list(found) == ["drop_ratio"]
    assert sum(float(array(value).mean()) for value in model.outcome(images).decisions.values()) < 0.1


def test_a_decider_that_reads_units_cannot_be_fitted_without_them(toy_chain):
    images, labels = colours(32)
    model = sgad(toy_chain(units=4), decider=PerUnitGates())
    with pytest.raises(ValueError, match=r"takes a built SGAD with a BinaryMaskNetwork, .* got SGAD with decider"):
        fit_guideline(model, Batches(images, labels, 32))
