"""IMTA: losses by hand, what phase II trains, how gradients are shared, and that it learns."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.callbacks import reestimate_batch_norm
from keras_dynamic.layers import Chain, DynamicModel, Exit
from keras_dynamic.methods import IMTA
from keras_dynamic.models import msdnet
from keras_dynamic.transform import collaborate
from tests.methods import learning

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def head():
    return [layers.GlobalAveragePooling2D(), layers.Dense(3)]


def exits(*after):
    return [Exit(head(), unit, name=f"exit{k}") for k, unit in enumerate(after, 1)]


@pytest.fixture
def network(toy_chain):
    """Three units, an exit behind each; a built DynamicModel."""
    made = DynamicModel(toy_chain(units=3, exits=exits("unit1", "unit2")))
    made.build((None, 8, 8, 3))
    return made


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def values(part):
    return [array(variable) for variable in part.weights]


def moved(part, before):
    return any((array(now) != then).any() for now, then in zip(part.weights, before, strict=True))


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def cross_entropy(logits, labels):
    return -np.log(softmax(logits)[np.arange(len(labels)), labels]).mean()


def divergence(teacher, student):
    return (teacher * np.log(teacher / student)).sum(axis=1).mean()


def trained_loss(model, images, labels):
    """The loss of a step at rate 0, and the answers that it was of."""
    outcome = model.outcome(images, training=True)
    model.compile(keras.optimizers.SGD(0.0), LOSS)
    loss = model.train_on_batch(images, labels, return_dict=True)["loss"]
    return loss, [array(each) for each in (*outcome.exits.values(), outcome.logits)]


def test_the_loss_is_the_weighted_sum_of_the_exits(network, toy_images):
    labels = np.array([0, 1, 2, 0, 1, 2])
    model = IMTA(network.chain, exit_weights=[2.0, 0.5, 3.0])
    loss, answers = trained_loss(model, toy_images(), labels)
    wanted = sum(weight * cross_entropy(each, labels) for weight, each in zip([2.0, 0.5, 3.0], answers, strict=True))
    assert loss == pytest.approx(wanted, rel=1e-5)


def test_all_exits_weigh_the_same_by_default_and_the_deepest_may_teach(network, toy_images):
    labels = np.array([0, 1, 2, 0, 1, 2])
    model = IMTA(network.chain, alpha=0.25, temperature=2.0)
    loss, answers = trained_loss(model, toy_images(), labels)
    teacher = softmax(answers[-1] / 2)
    wanted = cross_entropy(answers[-1], labels)
    for each in answers[:-1]:
        wanted += 0.25 * cross_entropy(each, labels) + 0.75 * 4 * divergence(teacher, softmax(each / 2))
    assert loss == pytest.approx(wanted, rel=1e-5)


def test_weight_decay_is_added(network, toy_images):
    labels = np.zeros(6, int)
    plain = trained_loss(IMTA(network.chain), toy_images(), labels)[0]
    kernels = [array(weight) for weight in network.chain.trainable_variables if weight.path.endswith("kernel")]
    decayed = trained_loss(IMTA(network.chain, weight_decay=0.1), toy_images(), labels)[0]
    assert decayed - plain == pytest.approx(0.05 * sum((kernel**2).sum() for kernel in kernels), rel=1e-3)


@pytest.mark.ci
def test_labels_may_be_one_hot(network, toy_images):
    labels = np.array([0, 1, 2, 0, 1, 2])
    loss, _ = trained_loss(IMTA(network.chain), toy_images(), labels)
    model = IMTA(network.chain)
    model.compile(keras.optimizers.SGD(0.0), keras.losses.CategoricalCrossentropy(from_logits=True))
    found = model.train_on_batch(toy_images(), np.eye(3)[labels], return_dict=True)["loss"]
    assert found == pytest.approx(loss, rel=1e-5)


@pytest.mark.ci
@pytest.mark.parametrize("equilibrium", [True, False])
def test_equilibrium_divides_the_steps_of_early_units(equilibrium, network, toy_images):
    images, labels = toy_images(), np.array([0, 1, 2, 0, 1, 2])
    start = network.get_weights()
    steps = []
    for switched in (False, equilibrium):
        model = IMTA(network.chain, equilibrium=switched)
        model.compile(keras.optimizers.SGD(1.0), LOSS)
        network.set_weights(start)
        kernels = [[w for w in unit.trainable_variables if w.path.endswith("kernel")] for unit in network.chain.units]
        before = [[array(kernel) for kernel in own] for own in kernels]
        model.train_on_batch(images, labels)
        steps.append(
            [[array(k) - b for k, b in zip(own, then, strict=True)] for own, then in zip(kernels, before, strict=True)]
        )
    for behind, plain, found in zip((3, 2, 1), *steps, strict=True):  # exits that each unit serves
        for one, other in zip(plain, found, strict=True):
            np.testing.assert_allclose(other, one / (behind if equilibrium else 1), atol=2e-6)


def test_metrics_tell_each_exit(network, toy_images):
    images, labels = toy_images(12), np.arange(12) % 3
    model = IMTA(network.chain)
    model.compile(loss=LOSS, metrics=["accuracy"])
    found = model.evaluate(images, labels, return_dict=True, verbose=0)
    outcome = model.outcome(images)
    answers = {**{f"{name}_accuracy": each for name, each in outcome.exits.items()}, "accuracy": outcome.logits}
    for name, each in answers.items():
        assert found[name] == pytest.approx((array(each).argmax(-1) == labels).mean())


def test_phase_two_trains_last_layers_and_paths_alone(network, toy_images):
    joined = collaborate(network, hidden=4)
    model = IMTA(joined.chain, alpha=0.5, classifiers_only=True)
    model.compile(keras.optimizers.SGD(0.5), LOSS)
    chain = model.chain
    frozen = [chain.stem, *chain.units]
    before = [values(part) for part in frozen]
    heads = [chain.exits[0].head, chain.exits[1].head, chain.head]
    last = [(getattr(each, "head", each)).layers[-1] for each in heads]
    paths = [each.transfer for each in heads[1:]]
    learning_parts = [(part, values(part)) for part in (*last, *paths)]
    for _ in range(2):  # paths end in zeros, so that their first layers learn from the second step on
        model.train_on_batch(toy_images(), np.array([0, 1, 2, 0, 1, 2]))
    assert not any(moved(part, was) for part, was in zip(frozen, before, strict=True))  # statistics included
    assert all(moved(part, was) for part, was in learning_parts)
    for path in paths:
        assert len(path.layers[1].trainable_variables) == 2  # their batch norm is new and learns


def test_phase_two_freezes_the_convolutions_of_classifiers_too():
    keras.utils.set_random_seed(0)
    network = msdnet(3, blocks=2, channels=4, growth=2)
    network.build((None, 32, 32, 3))
    model = IMTA(network.chain, classifiers_only=True)
    model.build((None, 32, 32, 3))
    assert [weight.path.rpartition("/")[0].rpartition("/")[2] for weight in model.trainable_variables] == ["logits"] * 4
    assert len(model.trainable_variables) == 4  # kernel and bias of two exits


def test_frozen_batch_norm_runs_on_its_statistics(network, toy_images):
    model = IMTA(network.chain, classifiers_only=True)
    images = toy_images()
    np.testing.assert_allclose(model.outcome(images, training=True).logits, model.outcome(images).logits, atol=1e-6)


def test_newcomers_are_the_paths(network):
    assert IMTA(network.chain).new_layers == []
    joined = IMTA(collaborate(network, hidden=4).chain)
    assert [type(each) for each in joined.new_layers] == [keras.Sequential] * 2


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0]])
def test_it_survives_saving(weights, network, toy_images, tmp_path):
    settings = {"equilibrium": False, "alpha": 0.5, "temperature": 3.0, "classifiers_only": True}
    model = IMTA(network.chain, exit_weights=weights, weight_decay=1e-4, **settings)
    model.build((None, 8, 8, 3))
    model.save(tmp_path / "imta.keras")
    loaded = keras.models.load_model(tmp_path / "imta.keras", compile=False)
    assert type(loaded) is IMTA
    assert (loaded.exit_weights, loaded.task_weight) == (weights, 3.0 if weights else 1.0)
    assert {name: getattr(loaded, name) for name in settings} == settings
    assert len(loaded.trainable_variables) == len(model.trainable_variables) == 6
    np.testing.assert_allclose(loaded(toy_images()), model(toy_images()), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"exit_weights": [1.0, 1.0]}, r"exit_weights must be 3 numbers, .* got \[1\.0, 1\.0\]"),
        ({"exit_weights": []}, r"exit_weights must be 3 numbers, .* got \[\]"),
        ({"exit_weights": [1.0, -1.0, 1.0]}, r"exit_weights must be a positive number, got -1\.0"),
        ({"alpha": 1.5}, r"alpha must be a number between 0 and 1, got 1\.5"),
        ({"temperature": 0.0}, r"temperature must be a positive number, got 0\.0"),
    ],
)
def test_arguments_that_cannot_be(arguments, message, network):
    with pytest.raises(ValueError, match=message):
        IMTA(network.chain, **arguments)


def test_a_chain_without_exits(toy_chain):
    with pytest.raises(ValueError, match=r"IMTA trains a chain with exits, got one without; give Chain some"):
        IMTA(toy_chain())


@pytest.mark.ci
def test_it_learns():
    keras.utils.set_random_seed(0)
    images, labels = learning.colours(384)
    toy = learning.chain(units=2)
    chain = Chain(toy.stem, toy.units, toy.head, [Exit(head(), "unit1", name="early")])
    learning.compiled(IMTA(chain)).fit(images, labels, batch_size=64, epochs=4, verbose=0)
    reestimate_batch_norm(DynamicModel(chain), [images[:128], images[128:256]])
    one = DynamicModel(chain)
    two = IMTA(collaborate(one, hidden=4).chain, alpha=0.5, temperature=2.0, classifiers_only=True)
    learning.compiled(two).fit(images, labels, batch_size=64, epochs=2, verbose=0)
    test, answers = learning.colours(192, seed=1)
    found = two.evaluate(test, answers, return_dict=True, verbose=0)
    assert found["early_accuracy"] > 0.9
    assert found["accuracy"] > 0.9
