"""Cascades: sums by hand, users' own networks, fitting thresholds and temperatures, saving, errors."""

import itertools
import os

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic import cost, data, evaluation
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import cascade, import_resnet_cifar, resnet_cifar

WIDTHS = (2, 4, 8)
MACS = [27 * width * 64 + width * 3 for width in WIDTHS]


@pytest.fixture
def networks(classifier):
    return [classifier(width, f"net{width}") for width in WIDTHS]


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def confidence(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).max(axis=-1)


def sums_of(networks, images, temperatures=(1, 1, 1)):
    return np.cumsum([numpy(network(images)) / t for network, t in zip(networks, temperatures, strict=False)], axis=0)


def stopping(sums, thresholds):
    """Where each image stops, in plain Python."""
    at = []
    for image in range(sums.shape[1]):
        stage = 0
        while stage < len(thresholds) and confidence(sums[stage, image]) < thresholds[stage]:
            stage += 1
        at.append(stage)
    return np.array(at)


def test_logits_are_the_sum_up_to_where_an_image_stops(networks, labelled):
    images, _ = labelled(60)
    temperatures = (2.0, 0.5, 1.5)
    model = cascade(networks, temperatures)
    sums = sums_of(networks, images, temperatures)
    thresholds = [np.float32(np.quantile(confidence(sums[k]), q)) for k, q in ((0, 0.7), (1, 0.5))]
    model.decider.set_thresholds(thresholds)
    outcome = model.outcome(images)
    at = stopping(sums, thresholds)
    assert set(at) == {0, 1, 2}
    np.testing.assert_allclose(outcome.logits, sums[at, np.arange(60)], atol=1e-4)
    assert model.decision_names == ["net4", "net8"]
    np.testing.assert_array_equal(outcome.decisions["net4"], at >= 1)
    np.testing.assert_array_equal(outcome.decisions["net8"], at >= 2)
    np.testing.assert_allclose(outcome.cost, np.cumsum(MACS)[at] / sum(MACS), rtol=1e-6)
    assert model.cost_tree.total_macs == sum(MACS)


def test_unfitted_every_network_runs(networks, labelled):
    images, _ = labelled(10)
    model = cascade(networks)
    np.testing.assert_allclose(model(images), sums_of(networks, images)[-1], atol=1e-4)
    assert model.thresholds.tolist() == [np.inf, np.inf]
    assert model.name == "cascade"


def test_users_own_networks_of_all_kinds(classifier, labelled):
    images, _ = labelled(10)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    functional = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(x)), name="functional")
    ends = [layers.Softmax(), layers.Activation("softmax", dtype="float32")]
    first, third = (classifier(width, f"net{width}", [end]) for width, end in zip((2, 8), ends, strict=True))
    model = cascade([first, functional, third])
    probabilities = [numpy(network(images)) for network in (first, functional, third)]
    summed = np.log(np.prod(probabilities, axis=0))  # logits but for a constant per image
    np.testing.assert_allclose(keras.ops.log_softmax(model(images)), numpy(keras.ops.log_softmax(summed)), atol=1e-4)
    assert model.decision_names == ["functional", "net8"]


def test_equal_names_are_told_apart(classifier):
    networks = [classifier(width, "net") for width in (2, 3, 4)] + [classifier(5, "net_2")]
    assert cascade(networks).decision_names == ["net_2", "net_3", "net_2_2"]


def test_one_network_may_stand_twice(classifier, labelled):
    images, _ = labelled(4)
    network = classifier(2, "net")
    np.testing.assert_allclose(cascade([network, network])(images), 2 * network(images), atol=1e-5)


def every_result(sums, labels):
    """(accuracy, mean MACs) of every pair of thresholds."""
    spent, rows = np.cumsum(MACS), np.arange(len(labels))
    columns = [[*np.unique(confidence(sums[k]).astype(np.float32)), np.inf] for k in (0, 1)]
    certain = np.stack([confidence(sums[k]).astype(np.float32) for k in (0, 1)])
    right = sums.argmax(-1) == labels
    for first, second in itertools.product(*columns):
        at = np.where(certain[0] >= first, 0, np.where(certain[1] >= second, 1, 2))
        yield right[at, rows].mean(), spent[at].mean()


@pytest.mark.parametrize("budget", [MACS[0], 1.3 * MACS[0], 0.5 * sum(MACS), sum(MACS)])
def test_fitting_to_a_budget(budget, networks, labelled):
    images, labels = labelled(25)
    model = cascade(networks)
    fitted = model.fit_thresholds(images, labels, macs=budget)
    allowed = [result for result in every_result(sums_of(networks, images), labels) if result[1] <= budget]
    assert (fitted.accuracy, fitted.spent) == pytest.approx(max(allowed, key=lambda r: (r[0], -r[1])))
    np.testing.assert_array_equal(model.thresholds, fitted.thresholds)
    outcome = model.outcome(images)
    assert np.mean(numpy(outcome.logits).argmax(-1) == labels) == pytest.approx(fitted.accuracy)
    assert numpy(outcome.cost).mean() * sum(MACS) == pytest.approx(fitted.spent, rel=1e-5)


def test_fitting_to_the_last_networks_own_accuracy(networks, labelled):
    images, labels = labelled(25)
    alone = np.mean(numpy(networks[-1](images)).argmax(-1) == labels)
    fitted = cascade(networks).fit_thresholds(images, labels)
    good = [result for result in every_result(sums_of(networks, images), labels) if result[0] >= alone]
    assert (fitted.spent, -fitted.accuracy) == pytest.approx(min((macs, -accuracy) for accuracy, macs in good))


def test_fitting_by_quantiles_needs_no_labels(networks, labelled):
    images, labels = labelled(200)
    model = cascade(networks)
    fitted = model.fit_thresholds(images, quantiles=[0.5, 0.25])
    decisions = model.outcome(images).decisions
    assert numpy(decisions["net4"]).sum() == 100
    assert numpy(decisions["net8"]).sum() == 25
    assert fitted.spent == pytest.approx(MACS[0] + MACS[1] / 2 + MACS[2] / 8)
    assert np.isnan(fitted.accuracy)
    with_labels = model.fit_thresholds(images, labels, quantiles=[0.5, 0.25])
    assert with_labels.accuracy == pytest.approx(np.mean(numpy(model(images)).argmax(-1) == labels))


MS = {"stem": 1.0, "net4": 1.5, "net8": 4.0, "decider": 0.25}  # 1.25 to stop, 2.75, 6.75 to the end


def spent_ms(model, images):
    decisions = model.outcome(images).decisions
    return 1.25 + 1.5 * numpy(decisions["net4"]) + 4.0 * numpy(decisions["net8"])


def test_fitting_to_milliseconds(networks, labelled):
    images, labels = labelled(60)
    model = cascade(networks)
    fitted = model.fit_thresholds(images, labels, ms=2.5, table=MS)
    assert fitted.spent == pytest.approx(spent_ms(model, images).mean())
    assert fitted.spent <= 2.5
    listed = cascade(networks).fit_thresholds(images, labels, mj=2.5, table=[1.25, 2.75, 6.75])
    np.testing.assert_array_equal(listed.thresholds, fitted.thresholds)
    assert listed[1:] == pytest.approx(fitted[1:])
    point = evaluation.fit_budget(model, images, labels, ms=2.5, table=MS)
    assert (point.spent, point.accuracy, point.tau) == (fitted.spent, fitted.accuracy, None)


def test_networks_over_the_deadline_never_run(networks, labelled):
    images, labels = labelled(60)
    for deadline, most in ((6.75, 6.75), (6.7, 2.75), (2.0, 1.25)):
        model = cascade(networks)
        fitted = model.fit_thresholds(images, labels, deadline=deadline, table=MS)
        assert spent_ms(model, images).max() <= most
        assert fitted.spent == pytest.approx(spent_ms(model, images).mean())
        assert np.mean(numpy(model(images)).argmax(-1) == labels) == pytest.approx(fitted.accuracy)
    shorter = cascade(networks[:2]).fit_thresholds(images, labels)
    fitted = cascade(networks).fit_thresholds(images, labels, deadline=2.75, table=MS)
    np.testing.assert_array_equal(fitted.thresholds, [*shorter.thresholds, 0.0])
    assert model.fit_thresholds(images, quantiles=[0.5, 0.5], deadline=2.75, table=MS).spent == pytest.approx(2.0)


def test_a_deadline_alone_takes_the_most_accurate(classifier, labelled):
    """The second network is worse than the first: the deadline is kept, and the first answers."""
    images, labels = labelled(60)
    networks = [classifier(width, f"net{width}", seed=seed) for width, seed in ((4, 1), (6, 2), (8, 3))]
    model = cascade(networks)
    fitted = model.fit_thresholds(images, labels, deadline=sum(MACS[1:]))
    tried = [model.fit_thresholds(images, labels, macs=1e9, deadline=sum(MACS[1:])).accuracy, fitted.accuracy]
    assert tried[0] == tried[1]


@pytest.mark.parametrize("kind", ["entropy", "max_probability", "margin"])
def test_a_deadline_is_kept_where_nothing_is_known(kind, classifier):
    """Confidences of equal logits round to a little under their least."""
    networks = [classifier(width, f"net{width}", classes=7) for width in (2, 4)]
    for network in networks:
        network.layers[-1].kernel.assign(1e-4 * network.layers[-1].kernel)
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3)).astype(np.float32)
    model = cascade(networks, confidence=kind)
    model.fit_thresholds(images, quantiles=[1.0], deadline=4000)  # of 3,470 for the first
    assert numpy(model.outcome(images).decisions["net4"]).sum() == 0


def test_networks_called_as_parts_are_get_another_name(classifier):
    model = cascade([classifier(2, "stem"), classifier(4, "stem"), classifier(6, "decider"), classifier(8, "head")])
    names = [part.name for part in model.cost_tree.children]
    assert len(set(names)) == len(names)
    assert "decider" not in names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ms": 1.2, "table": MS}, r"the budget must be at least 1\.25 ms per image"),
        ({"deadline": 1.2, "table": MS}, r"the deadline must be at least 1\.25"),
        ({"ms": 2.0, "table": {"stem": 1.0, "net4": 1.5}}, r"lacks the parts \['net8'\]"),
        ({"ms": 2.0, "table": [1, 2]}, "must be 3 positive numbers"),
        ({"ms": 2.0}, "ms need one"),
    ],
)
def test_tables_and_deadlines_that_cannot_be(arguments, message, networks, labelled):
    model = cascade(networks)
    with pytest.raises(ValueError, match=message):
        model.fit_thresholds(*labelled(20), **arguments)
    assert np.isinf(model.thresholds).all()


def test_batches_do_not_change_the_fit(networks, labelled):
    images, labels = labelled(25)
    fits = [cascade(networks).fit_thresholds(images, labels, macs=2 * MACS[0], batch_size=size) for size in (7, 256)]
    assert fits[0][1:] == fits[1][1:]


@pytest.mark.parametrize("confidence", ["entropy", "margin"])
def test_fitting_by_another_confidence(confidence, networks, labelled):
    images, labels = labelled(40)
    model = cascade(networks, confidence=confidence)
    fitted = model.fit_thresholds(images, labels, macs=0.5 * sum(MACS))
    outcome = model.outcome(images)
    assert np.mean(numpy(outcome.logits).argmax(-1) == labels) == pytest.approx(fitted.accuracy)
    assert fitted.spent <= 0.5 * sum(MACS)


def test_temperatures_are_fitted_to_least_cross_entropy(networks, labelled):
    images, labels = labelled(200)
    model = cascade(networks)
    temperatures = model.fit_temperatures(images, labels)
    for network, fitted in zip(networks, temperatures, strict=True):
        logits = numpy(network(images))

        def loss(t, logits=logits):
            scaled = logits / t
            return np.mean(np.log(np.exp(scaled).sum(-1)) - scaled[np.arange(200), labels])

        assert loss(fitted) <= min(loss(t) for t in np.geomspace(0.05, 20, 300)) + 1e-6
    np.testing.assert_allclose(model(images), sums_of(networks, images, temperatures)[-1], atol=1e-3)
    fitted = model.fit_thresholds(images, labels, macs=2 * MACS[0])
    assert np.mean(numpy(model(images)).argmax(-1) == labels) == pytest.approx(fitted.accuracy)


@pytest.fixture
def gated(toy_chain, labelled, spread_gates):
    """A gated network whose two gates open for half of the images each."""
    model = DynamicModel(toy_chain(units=2), PerUnitGates(), name="gated")
    model.build((None, 8, 8, 3))
    spread_gates(model, labelled(60)[0])
    return model


def test_a_gated_network_as_the_last(gated, classifier, labelled):
    small = classifier(2, "small")
    images, labels = labelled(60)
    model = cascade([small, gated])
    assert model.decision_names == ["gated", "gated/unit1", "gated/unit2"]
    fitted = model.fit_thresholds(images, quantiles=[0.5])
    outcome, inside = model.outcome(images), gated.outcome(images)
    ran = numpy(outcome.decisions["gated"])
    assert ran.sum() == 30
    for name in ("unit1", "unit2"):
        np.testing.assert_array_equal(outcome.decisions[f"gated/{name}"], ran * numpy(inside.decisions[name]))
        np.testing.assert_allclose(outcome.probabilities[f"gated/{name}"], ran * numpy(inside.probabilities[name]))
    np.testing.assert_allclose(outcome.logits, numpy(small(images)) + ran[:, None] * numpy(inside.logits), atol=1e-4)
    unit, fixed = 2 * 64 * 9 * 16, 64 * 27 * 4 + 12 + 2 * (4 * 16 + 16)
    units = sum(numpy(inside.decisions[name]) for name in ("unit1", "unit2"))
    macs = MACS[0] + ran * (fixed + unit * units)
    assert len(np.unique(macs)) > 2
    np.testing.assert_allclose(outcome.cost * model.cost_tree.total_macs, macs, rtol=1e-5)
    decisions = {name: numpy(value) for name, value in outcome.decisions.items()}
    np.testing.assert_array_equal(cost.given(model.cost_tree, decisions), macs)
    assert fitted.spent == pytest.approx(macs.mean())  # of the images that came that far, not of all
    budgeted = model.fit_thresholds(images, labels, macs=macs.mean())
    assert numpy(model.outcome(images).cost).mean() * model.cost_tree.total_macs == pytest.approx(budgeted.spent)
    assert budgeted.spent <= macs.mean()


def test_given_decisions_reach_the_network_inside(gated, classifier, labelled):
    small = classifier(2, "small")
    images, _ = labelled(4)
    model = cascade([small, gated])
    decisions = {"gated": [1, 1, 0, 0], "gated/unit1": [1, 0, 1, 0], "gated/unit2": [0, 1, 1, 1]}
    decisions = {name: np.float32(value) for name, value in decisions.items()}
    outcome = model.outcome(images, decisions)
    inside = gated.outcome(images, {name: decisions[f"gated/{name}"] for name in ("unit1", "unit2")})
    np.testing.assert_allclose(
        outcome.logits, numpy(small(images)) + decisions["gated"][:, None] * numpy(inside.logits), atol=1e-4
    )
    assert numpy(outcome.decisions["gated/unit1"]).tolist() == [1, 0, 0, 0]


def test_saving_and_loading_in_a_fresh_process(gated, classifier, labelled, fresh_process):
    small = classifier(2, "small")
    images, _ = labelled(60)
    middle = classifier(4, "middle", [layers.Softmax()])
    model = cascade([small, middle, gated], temperatures=[1.0, 2.0, 0.5], confidence="entropy")
    model.fit_thresholds(images, quantiles=[0.6, 0.5])
    outcome = model.outcome(images)
    found = fresh_process(model, images)
    np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-5)
    np.testing.assert_allclose(found["cost"], outcome.cost, rtol=1e-6)
    assert [name for name in found if name.startswith("decisions")] == [f"decisions {n}" for n in model.decision_names]
    for name, value in outcome.decisions.items():
        np.testing.assert_array_equal(found[f"decisions {name}"], value)


def test_loading_gives_a_cascade_that_can_be_fitted_again(networks, labelled, tmp_path):
    images, labels = labelled(25)
    model = cascade(networks)
    model.fit_thresholds(images, labels, macs=2 * MACS[0])
    model.save(tmp_path / "cascade.keras")
    loaded = keras.models.load_model(tmp_path / "cascade.keras")
    np.testing.assert_array_equal(loaded.thresholds, model.thresholds)
    assert [network.name for network in loaded.networks] == ["net2", "net4", "net8"]
    again = [each.fit_thresholds(images, labels, macs=3 * MACS[0]) for each in (model, loaded)]
    np.testing.assert_array_equal(again[0].thresholds, again[1].thresholds)


def test_evaluate_shows_rate_and_macs(networks, labelled):
    images, labels = labelled(40)
    model = cascade(networks)
    fitted = model.fit_thresholds(images, labels, macs=0.5 * sum(MACS))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    logs = model.evaluate(images, labels, batch_size=20, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(fitted.accuracy)
    assert logs["macs_millions"] == pytest.approx(fitted.spent / 1e6, rel=1e-5)


def test_a_network_that_may_have_seen_the_images_is_warned_of(networks, labelled):
    images, _ = labelled(30)
    labels = numpy(networks[1](images)).argmax(-1)
    largest = np.bincount(labels).max() / 30
    model = cascade(networks)
    message = rf"network 'net4' is 100\.0% right .* the largest class has {largest:.1%}; .* quantiles"
    with pytest.warns(UserWarning, match=message):
        fitted = model.fit_thresholds(images, labels, macs=sum(MACS))
    np.testing.assert_array_equal(model.thresholds, fitted.thresholds)
    with pytest.warns(UserWarning, match=message):
        model.fit_temperatures(images, labels)


@pytest.mark.filterwarnings("error")
def test_a_network_that_is_right_as_often_as_the_largest_class_is_not_warned_of(classifier, labelled):
    images, _ = labelled(300)
    networks = [classifier(width, f"net{width}") for width in (2, 4)]
    for network in networks:
        network.layers[-1].bias.assign([1e3, 0, 0])
    labels = np.repeat([0, 1], [299, 1])  # 99.7 %
    assert cascade(networks).fit_thresholds(images, labels, macs=1e9).accuracy == pytest.approx(299 / 300)


def test_one_hot_labels_serve_where_class_numbers_do(networks, labelled):
    images, labels = labelled(25)
    fits = [cascade(networks).fit_thresholds(images, y, macs=2 * MACS[0]) for y in (labels, np.eye(3)[labels])]
    assert fits[0][1:] == fits[1][1:]
    one, other = (cascade(networks).fit_temperatures(images, y) for y in (labels, np.eye(3)[labels]))
    assert one == other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"macs": MACS[0] - 1}, rf"budget must be at least {MACS[0]:,} MACs per image, .* got {MACS[0] - 1:,} MACs"),
        ({"y": None}, "needs labels y, or quantiles=.*got neither"),
        ({"quantiles": [0.5]}, r"quantiles must be 2 numbers, one per network after the first"),
        ({"quantiles": 0.5}, r"quantiles must be 2 numbers"),
        (
            {"quantiles": [0.5, 0.5], "macs": 1e6},
            "come without a budget, .* and a budget of 1000000",
        ),
        (
            {"quantiles": [0.5, 1.5]},
            r"quantiles must be numbers between 0 and 1, one per threshold, got \[0\.5, 1\.5\]",
        ),
        ({"x": np.zeros((0, 8, 8, 3))}, "got none; give images"),
        ({"x": np.full((10, 8, 8, 3), np.nan)}, "got NaN or infinity in image 0 of 10"),
        ({"y": np.arange(10) % 3 + 1}, "labels must be class numbers from 0 to 2, got some from 1 to 3"),
        ({"y": np.arange(10) % 3 - 1, "quantiles": [0.5] * 2}, "class numbers from 0 to 2, got some from -1 to 1"),
        ({"y": np.arange(9) % 3}, "y must be 10 labels, one per image, got 9"),
    ],
)
def test_what_cannot_be_fitted_is_an_error(arguments, message, networks, labelled):
    images, labels = labelled(10)
    model = cascade(networks)
    with pytest.raises(ValueError, match=message):
        model.fit_thresholds(**{"x": images, "y": labels, **arguments})
    assert model.thresholds.tolist() == [np.inf, np.inf]


def test_networks_of_other_inputs_or_classes_are_an_error(classifier):
    first = classifier(2, "first")
    with pytest.raises(ValueError, match=r"same input, but 'first' takes \(8, 8, 3\) and 'large' takes \(16, 16, 3\)"):
        cascade([first, classifier(2, "large", size=16)])
    with pytest.raises(ValueError, match=r"same classes, but 'first' has 3 and 'many' has 5"):
        cascade([first, classifier(4, "many", classes=5)])


def test_the_cheapest_comes_first(networks):
    listed = f"net4 {MACS[1]:,}, net2 {MACS[0]:,}, net8 {MACS[2]:,}"
    with pytest.raises(ValueError, match=f"from the cheapest to the dearest, got MACs: {listed}; sort them"):
        cascade([networks[1], networks[0], networks[2]])


def test_two_networks_at_least(networks):
    with pytest.raises(ValueError, match="a cascade needs at least two networks, got 1"):
        cascade(networks[:1])


def test_other_ends_are_an_error(networks, classifier):
    with pytest.raises(ValueError, match=r"network 'bad' ends in Activation .* 'relu'"):
        cascade([networks[0], classifier(8, "bad", [layers.Activation("relu")])])
    with pytest.raises(ValueError, match=r"'bad' ends in a sigmoid over 3 outputs.*confidence='label_probability'"):
        cascade([networks[0], classifier(8, "bad", [layers.Activation("sigmoid")])])


def test_a_layer_that_cost_does_not_know_is_an_error(networks, classifier):
    class Strange(layers.Layer):
        def call(self, x):
            return x

    strange = keras.Sequential([keras.Input((8, 8, 3)), Strange(), layers.Flatten(), layers.Dense(3)], name="strange")
    with pytest.raises(ValueError, match=r"no rule for layer 'strange\w*' of type Strange"):
        cascade([networks[0], strange])


def test_an_unbuilt_dynamic_network_is_an_error(networks, toy_chain):
    with pytest.raises(ValueError, match="network 'gated' is not built, so its input is unknown; call it on a batch"):
        cascade([networks[0], ActivationGating(toy_chain(), name="gated")])


@pytest.mark.parametrize(
    ("temperatures", "message"),
    [
        ([1.0, 2.0], "temperatures must be 3 numbers, one per network"),
        ([1.0, 0.0, 1.0], "temperature must be positive"),
    ],
)
def test_wrong_temperatures_are_an_error(temperatures, message, networks):
    with pytest.raises(ValueError, match=message):
        cascade(networks, temperatures)


@pytest.fixture(scope="module")
def cifar10():
    return data.load("cifar10", os.environ["DATA_DIR"])


@pytest.mark.slow
@pytest.mark.skipif(not {"DATA_DIR", "WEIGHTS_DIR"} <= os.environ.keys(), reason="DATA_DIR or WEIGHTS_DIR is not set")
@pytest.mark.parametrize(
    ("files", "quantiles", "macs", "accuracy"),
    [
        (("resnet8_cifar10_45k", "resnet20_cifar10_45k", "resnet32_cifar10_45k"), [0.4, 0.2], 34.9e6, 0.9355),
        (("resnet20_cifar10_45k", "resnet32_cifar10_45k", "resnet74_cifar10"), [0.15, 0.15], 55.8e6, 0.9464),
    ],
    ids=["resnet8_20_32", "resnet20_32_74"],
)
def test_measured_cascades_of_cifar10(files, quantiles, macs, accuracy, cifar10):
    networks = []
    for file in files:
        depth = int("".join(filter(str.isdigit, file.split("_")[0])))
        networks.append(
            import_resnet_cifar(resnet_cifar(depth), os.path.join(os.environ["WEIGHTS_DIR"], f"{file}.npz"))
        )
    model = cascade(networks)
    model.fit_thresholds(cifar10.x_train[45000:], quantiles=quantiles)
    found = evaluation.evaluate(model, cifar10.x_test, cifar10.y_test)
    assert found.accuracy == pytest.approx(accuracy, abs=0.0005)
    assert found.macs.mean() == pytest.approx(macs, rel=0.005)
