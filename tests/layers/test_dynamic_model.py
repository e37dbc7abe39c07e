"""The keras.Model: logits from call, whole outcomes on request, ordinary Keras training, saving."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import cost, models
from keras_dynamic.deciders import Never, Pattern, PerUnitGates, Policy
from keras_dynamic.evaluation import evaluate
from keras_dynamic.layers import Always, DynamicModel, Exit

UNIT, REST = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12  # MACs of a unit of the toy chain, and of its stem and head
GATE = 4 * 16 + 16


def compiled(model, **kwargs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], **kwargs)
    return model


def numpy(nest):
    return keras.tree.map_structure(keras.ops.convert_to_numpy, nest)


def test_calling_it_gives_logits(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), PerUnitGates())
    logits = model(toy_images())
    assert tuple(logits.shape) == (6, 3)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    np.testing.assert_array_equal(logits, model.outcome(toy_images()).logits)
    np.testing.assert_array_equal(model.predict(toy_images(), verbose=0), logits)
    np.testing.assert_allclose(model(toy_images().astype(np.float32)), logits, atol=1e-5)


def test_it_is_built_by_calling_by_build_or_by_outcome(toy_chain, toy_images):
    models = [DynamicModel(toy_chain(), PerUnitGates(seed=0)) for _ in range(3)]
    models[0](toy_images(4))
    models[1].build((None, 8, 8, 3))
    models[2].outcome(toy_images(4))
    for model in models:
        assert model.built
        assert model.image_shape == (None, 8, 8, 3) or model.image_shape == (4, 8, 8, 3)
        assert tuple(model(toy_images(7)).shape) == (7, 3)  # another batch size than it was built with
        assert model.decision_names == ["unit1", "unit2", "unit3"]
        assert model.cost_tree.total_macs == REST + 3 * (UNIT + GATE)
        assert cost.tree(model) == model.cost_tree._replace(name=model.name)


def test_outcome_tells_all(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), PerUnitGates(open_probability=0.5, seed=1))
    outcome = model.outcome(toy_images(), training=True)
    for name in model.decision_names:
        decision, probability = numpy((outcome.decisions[name], outcome.probabilities[name]))
        assert decision.dtype == probability.dtype == np.float32
        assert decision.shape == probability.shape == (6,)
        assert set(np.unique(decision)) <= {0.0, 1.0}
    macs = REST + 3 * GATE + UNIT * sum(numpy(list(outcome.decisions.values())))
    np.testing.assert_allclose(outcome.cost, macs / model.cost_tree.total_macs, rtol=1e-6)


def test_given_decisions_replace_the_deciders(toy_chain, toy_images):
    model = DynamicModel(toy_chain(), PerUnitGates())
    model.build((None, 8, 8, 3))
    closed = model.outcome(toy_images(), {name: np.zeros(6) for name in model.decision_names})
    np.testing.assert_allclose(closed.cost, (REST + 3 * GATE) / model.cost_tree.total_macs, rtol=1e-6)
    never = DynamicModel(model.chain, Never())
    np.testing.assert_array_equal(closed.logits, never(toy_images()))
    opened = model.outcome(toy_images(), {name: [1] * 6 for name in model.decision_names})
    np.testing.assert_allclose(opened.logits, DynamicModel(model.chain)(toy_images()), atol=1e-5)
    assert keras.backend.standardize_dtype(opened.decisions["unit1"].dtype) == "float32"


@pytest.mark.parametrize(
    ("decisions", "message"),
    [
        ({"unti1": np.ones(6)}, r"'unti1', which this model does not decide \(did you mean 'unit1'\?\)"),
        ({"unit1": np.ones(6), "unit3": np.ones(6)}, r"must name every decision of the model, \['unit2'\] are missing"),
        (
            dict.fromkeys(["unit1", "unit2", "unit3"], np.ones(5)),
            r"'unit1' must have shape \[batch\] = \[6\], got \(5,\)",
        ),
        (dict.fromkeys(["unit1", "unit2", "unit3"], np.ones((6, 1))), r"shape \[batch\] = \[6\], got \(6, 1\)"),
        (dict.fromkeys(["unit1", "unit2", "unit3"], 1.0), r"shape \[batch\] = \[6\], got \(\)"),
    ],
)
def test_wrong_decisions_are_named(decisions, message, toy_chain, toy_images):
    model = DynamicModel(toy_chain(), PerUnitGates())
    with pytest.raises(ValueError, match=message):
        model.outcome(toy_images(), decisions)


def test_images_of_another_size_are_an_error(toy_chain):
    model = DynamicModel(toy_chain(), name="toy")
    model.build((None, 8, 8, 3))
    for shape in [(2, 16, 16, 3), (2, 8, 8, 4), (8, 8, 3)]:
        with pytest.raises(ValueError, match=r"'toy' was built for images \[batch, 8, 8, 3\], .* got shape"):
            model.outcome(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("what", ["decision_names", "cost_tree"])
def test_before_building_there_are_no_names_and_no_cost(what, toy_chain):
    with pytest.raises(ValueError, match=f"{what} of model 'toy' is known once it is built"):
        getattr(DynamicModel(toy_chain(), name="toy"), what)


def test_it_takes_a_chain_and_a_decider(toy_chain):
    with pytest.raises(ValueError, match="and a Decider, got str and Always"):
        DynamicModel("resnet")
    with pytest.raises(ValueError, match="and a Decider, got Chain and ReLU"):
        DynamicModel(toy_chain(), layers.ReLU())


def test_fit_evaluate_and_predict_are_ordinary(toy_chain, toy_images):
    images, labels = toy_images(48), np.arange(48) % 3
    model = compiled(DynamicModel(toy_chain(units=2), PerUnitGates(open_probability=0.7, seed=0)))
    history = model.fit(
        images, labels, batch_size=16, epochs=6, validation_data=(images[:20], labels[:20]), verbose=0
    ).history
    assert history["loss"][-1] < history["loss"][0]
    for prefix in ("", "val_"):
        assert {prefix + name for name in ("accuracy", "activation_rate", "macs_millions")} <= history.keys()
    for rate, macs in zip(history["activation_rate"], history["macs_millions"], strict=True):
        assert macs == pytest.approx((REST + 2 * GATE + 2 * UNIT * rate) / 1e6, rel=1e-5)
    evaluated = model.evaluate(images, labels, batch_size=20, return_dict=True, verbose=0)
    outcome = numpy(model.outcome(images))
    assert evaluated["accuracy"] == pytest.approx((outcome.logits.argmax(-1) == labels).mean())
    assert evaluated["activation_rate"] == pytest.approx(np.mean(list(outcome.decisions.values())), abs=0.03)
    millions = outcome.cost.mean() * model.cost_tree.total_macs / 1e6
    assert evaluated["macs_millions"] == pytest.approx(millions, rel=1e-5)
    np.testing.assert_allclose(model.predict(images, verbose=0), outcome.logits, atol=1e-4)


def test_a_static_network_runs_at_rate_1(toy_chain, toy_images):
    model = compiled(DynamicModel(toy_chain(units=1)))
    logs = model.evaluate(toy_images(), np.arange(6) % 3, return_dict=True, verbose=0)
    assert logs["activation_rate"] == 1.0
    assert logs["macs_millions"] == pytest.approx((REST + UNIT) / 1e6)


def test_outcome_losses_are_added_in_training_alone(toy_chain, toy_images):
    class Dearer(DynamicModel):
        def outcome_losses(self, x, y, outcome, sample_weight=None):
            return {"cost": 100.0 * keras.ops.mean(outcome.cost), "more": keras.ops.convert_to_tensor(7.0)}

    model = compiled(Dearer(toy_chain(units=1)), run_eagerly=True)
    images, labels = toy_images(), np.arange(6) % 3
    plain = model.evaluate(images, labels, return_dict=True, verbose=0)["loss"]
    model.optimizer.learning_rate = 0.0
    assert plain < 50
    assert model.train_on_batch(images, labels, return_dict=True)["loss"] > 107
    assert model.test_on_batch(images, labels, return_dict=True)["loss"] < 50


def test_sample_weights_and_class_weights_work(toy_chain, toy_images):
    model = compiled(DynamicModel(toy_chain(units=1)), weighted_metrics=["accuracy"], run_eagerly=True)
    images, labels = toy_images(8), np.arange(8) % 2
    model.fit(images, labels, sample_weight=np.ones(8), verbose=0)
    model.fit(images, labels, class_weight={0: 0.5, 1: 2.0}, verbose=0)
    assert model.evaluate(images, labels, sample_weight=np.zeros(8), verbose=0, return_dict=True)["loss"] == 0.0


@pytest.mark.ci
def test_inside_another_models_step_it_gives_logits(toy_chain, toy_images):
    inside = DynamicModel(toy_chain(units=1), PerUnitGates())
    image = keras.Input((8, 8, 3))
    outside = compiled(keras.Model(image, layers.Rescaling(2.0)(inside(image))))
    outside.fit(toy_images(), np.arange(6) % 3, verbose=0)
    np.testing.assert_allclose(outside.predict(toy_images(), verbose=0), 2 * inside(toy_images()), rtol=1e-4)


def test_a_teacher_in_a_step_gives_logits(toy_chain, toy_images):
    class Follower(DynamicModel):
        teacher = None

        def outcome_losses(self, x, y, outcome, sample_weight=None):
            return {"distance": keras.ops.mean(keras.ops.square(outcome.logits - self.teacher[0](x)))}

    model = Follower(toy_chain(units=1))
    model.teacher = (DynamicModel(toy_chain(units=1, seed=1)),)
    assert np.isfinite(
        compiled(model, run_eagerly=True).fit(toy_images(), np.arange(6) % 3, verbose=0).history["loss"]
    ).all()


@pytest.mark.parametrize("training", [False, True])
def test_mixed_precision_keeps_answers_decisions_and_cost_in_float32(training, toy_chain, toy_images):
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = DynamicModel(toy_chain(units=2), PerUnitGates(open_probability=0.6, tau=0.55))
        outcome = model.outcome(toy_images(), training=training)
        body = model.chain.units[0].body(keras.ops.zeros((1, 8, 8, 4)))
        logs = compiled(model, run_eagerly=True).fit(toy_images(), np.arange(6) % 3, verbose=0).history
        evaluated = model.evaluate(toy_images(), np.arange(6) % 3, verbose=0)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(body.dtype) == "bfloat16"
    for value in keras.tree.flatten(outcome._asdict()):
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert np.isfinite(logs["loss"] + evaluated).all()


@pytest.mark.ci
def test_saving_and_loading_in_a_fresh_process(toy_chain, toy_images, fresh_process):
    exit_ = Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], "unit2", name="early")
    chain, images = toy_chain(exits=[exit_]), toy_images(12)
    for decider in (Always(), Pattern({"unit2": 0, "unit3": 1}), PerUnitGates(seed=3, tau=0.6, open_probability=0.6)):
        model = DynamicModel(chain, decider)
        for training in (False, True):
            model.build((None, 8, 8, 3))
            found = fresh_process(model, images, training)
            outcome = numpy(model.outcome(images, training=training))
            for name, value in outcome.decisions.items():
                np.testing.assert_array_equal(found[f"decisions {name}"], value)
            np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-5)
            np.testing.assert_allclose(found["exits early"], outcome.exits["early"], atol=1e-5)
            np.testing.assert_allclose(found["cost"], outcome.cost, rtol=1e-6)


def test_loading_keeps_the_optimizer_and_training_goes_on(toy_chain, toy_images, tmp_path):
    model = compiled(DynamicModel(toy_chain(units=1), PerUnitGates(seed=0)), run_eagerly=True)
    model.fit(toy_images(), np.arange(6) % 3, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert int(loaded.optimizer.iterations) == 1
    losses = [m.fit(toy_images(), np.arange(6) % 3, verbose=0).history["loss"][0] for m in (model, loaded)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def cascade_of_two(toy_chain):
    first, second = (
        DynamicModel(toy_chain(units=1, width=2), name="first"),
        DynamicModel(toy_chain(), PerUnitGates(open_probability=0.6, tau=0.6), name="second"),
    )
    for network in (first, second):
        network.build((None, 8, 8, 3))
    return models.cascade([first, second]), [first, second]


def with_policy(toy_chain):
    network = models.policy_resnet(3, trunk=models.resnet_cifar(8, width=4), name="looker")
    model = DynamicModel(toy_chain(), Policy(network))
    model.build((None, 8, 8, 3))
    network.chain.head.layers[-1].bias.assign([5.0, -5.0, 5.0])
    return model, [network]


@pytest.mark.parametrize("trained_before", [False, pytest.param(True, marks=pytest.mark.ci)])
@pytest.mark.parametrize("make", [pytest.param(cascade_of_two, marks=pytest.mark.ci), with_policy])
def test_networks_inside_show_no_metrics(make, trained_before, toy_chain, toy_images):
    model, inside = make(toy_chain)
    images, labels = toy_images(24), np.arange(24) % 3
    if trained_before:
        for network in inside:
            compiled(network).train_on_batch(images, labels)
    names = [metric.name for metric in compiled(model).metrics]
    history = model.fit(images, labels, verbose=0).history
    logs = model.evaluate(images, labels, return_dict=True, verbose=0)
    outcome = numpy(model.outcome(images))
    assert history.keys() == logs.keys() == {"loss", "accuracy", "activation_rate", "macs_millions"}
    assert [metric.name for metric in model.metrics] == names
    assert len(names) == len(set(names))
    rates = [value.mean() for value in outcome.decisions.values()]
    assert 0 < np.mean(rates) < 1
    assert logs["activation_rate"] == pytest.approx(np.mean(rates), abs=1e-5)
    millions = outcome.cost.mean() * model.cost_tree.total_macs / 1e6
    assert logs["macs_millions"] == pytest.approx(millions, rel=1e-5)
    assert logs["accuracy"] == pytest.approx((outcome.logits.argmax(-1) == labels).mean())
    chances = np.exp(outcome.logits) / np.exp(outcome.logits).sum(axis=-1, keepdims=True)
    assert logs["loss"] == pytest.approx(-np.log(chances[np.arange(24), labels]).mean(), rel=1e-3)


def test_metrics_of_layers_inside_are_kept(toy_chain, toy_images):
    class Brightness(layers.Layer):
        def __init__(self):
            super().__init__()
            self.tracker = keras.metrics.Mean(name="brightness")

        def call(self, x):
            self.tracker.update_state(x)
            return x

    cost.register(Brightness)(lambda layer, inputs: 0)
    chain = toy_chain(units=1)
    chain.stem = keras.Sequential([Brightness(), *chain.stem.layers])
    model = compiled(DynamicModel(chain), run_eagerly=True)
    logs = model.evaluate(toy_images(), np.arange(6) % 3, return_dict=True, verbose=0)
    assert logs["brightness"] == pytest.approx(toy_images().mean(), rel=1e-4)


def test_keras_habits(toy_chain, toy_images, tmp_path):
    """BackupAndRestore on a model that nobody has built, a data set in fit and evaluate, the input's shape."""
    tf = pytest.importorskip("tensorflow")
    model = DynamicModel(toy_chain())
    assert model.input_shape is None
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images, labels = toy_images(12), np.arange(12) % 3
    batches = tf.data.Dataset.from_tensor_slices((images.astype("float32"), labels)).batch(5)
    model.fit(batches, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup")], verbose=0)
    assert model.input_shape == (None, 8, 8, 3)
    found, wanted = evaluate(model, batches), evaluate(model, images, labels)
    np.testing.assert_array_equal(found.predictions, wanted.predictions)
    assert found.accuracy == wanted.accuracy


def test_no_prediction_for_an_image_that_is_not_finite(toy_chain, toy_images):
    model = DynamicModel(toy_chain())
    model.build((None, 8, 8, 3))
    images = np.array(toy_images(4), np.float32)
    assert model.predict(images, verbose=0).shape == (4, 3)
    images[2, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="got NaN or infinity in image 2 of 4"):
        model.predict(images, verbose=0)
