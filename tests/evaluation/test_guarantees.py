"""Promises about errors, kept over many draws of images; and the watch on the data."""

import keras
import numpy as np
import pytest

import keras_dynamic as kd
from keras_dynamic.evaluation import StopMonitor, calibrate, evaluate
from keras_dynamic.evaluation.guarantees import _tested, stage_answers

CLASSES = 4


def table(width, name, seed):
    """A network that reads its logits off the input, so that tests choose them: columns of a vector."""
    del width
    dense = keras.layers.Dense(CLASSES, use_bias=False, name=f"{name}_logits")
    padded = [keras.layers.Dense(2 * CLASSES, use_bias=False, name=f"{name}_{k}") for k in range(seed)]
    network = keras.Sequential([keras.Input((2 * CLASSES,)), *padded, dense], name=name)
    for layer in padded:
        layer.set_weights([np.eye(2 * CLASSES, dtype="float32")])
    return network, dense


@pytest.fixture(scope="module")
def cascade():
    """The first network's logits are the first half of the input, the second's the other half."""
    small, first = table(1, "small", 1)
    large, second = table(1, "large", 3)
    eye = np.eye(CLASSES, dtype="float32")
    first.set_weights([np.concatenate([eye, 0 * eye])])
    second.set_weights([np.concatenate([0 * eye, eye])])
    return kd.models.cascade([small, large], discount=0.0)


def drawn(rng, count):
    """Draws inputs and labels: the first half of the logits is right for most, the second for nearly all."""
    y = rng.integers(0, CLASSES, count)
    target = 3.0 * np.eye(CLASSES)[y]
    first = target + rng.normal(0, 1.6, (count, CLASSES))
    second = target + rng.normal(0, 0.9, (count, CLASSES))
    return np.concatenate([first, second], axis=1).astype("float32"), y


@pytest.mark.parametrize("labelled", [True, False])
def test_promises_are_kept_in_most_draws(cascade, labelled):
    rng, risk, delta, draws = np.random.default_rng(0), 0.03, 0.2, 40
    x, y = drawn(rng, 20_000)  # all the images there are
    np.testing.assert_array_equal(stage_answers(cascade, x[:50]).whole, x[:50, CLASSES:].argmax(1))
    broken, spent = 0, []
    for _ in range(draws):
        rows = rng.integers(0, len(x), 1500)
        found = calibrate(cascade, x[rows], y[rows] if labelled else None, risk=risk, delta=delta)
        assert found.p_value <= delta
        whole, one = x[:, CLASSES:].argmax(1), found.thresholds
        sure = np.exp(x[:, :CLASSES] - x[:, :CLASSES].max(1, keepdims=True))
        stop = (sure / sure.sum(1, keepdims=True)).max(1) >= one[0]
        answer = np.where(stop, x[:, :CLASSES].argmax(1), whole)
        true_risk = (answer != y).mean() - (whole != y).mean() if labelled else (answer != whole).mean()
        broken += true_risk > risk
        spent.append(stop.mean())
    assert broken / draws <= delta + 2 * np.sqrt(delta * (1 - delta) / draws)
    assert np.mean(spent) > 0.3, "nothing stops, which keeps any promise"


def test_the_excess_and_its_test():
    labels, whole = np.zeros(1000, int), np.zeros(1000, int)
    predictions = labels.copy()
    predictions[:5] = 1
    excess, p_value = _tested(predictions, whole, labels, 0.02)
    assert excess == 0.005
    assert p_value < 0.05
    assert _tested(predictions, whole, None, 0.02)[0] == 0.005


def test_exits_gates_and_policies(toy_chain, toy_images):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (300, 8, 8, 3)).astype("float32")
    chain = toy_chain()
    exits = [
        kd.layers.Exit([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)], chain.units[0].name, name="e")
    ]
    model = kd.layers.DynamicModel(chain.replace(exits=exits), kd.deciders.Confidence())
    model.build((None, 8, 8, 3))
    whole = np.asarray(model.outcome(x, decisions={"e": np.ones(300)}).logits).argmax(1)
    found = calibrate(model, x, risk=0.2, delta=0.2)
    assert found.tau is None
    np.testing.assert_array_equal(found.thresholds, keras.ops.convert_to_numpy(model.decider.thresholds))
    assert (np.asarray(evaluate(model, x).logits).argmax(1) != whole).mean() <= 0.2
    gated = kd.layers.DynamicModel(toy_chain(), kd.deciders.PerUnitGates(open_probability=0.5))
    gated.build((None, 8, 8, 3))
    whole = evaluate(gated, x, decisions={name: np.ones(300) for name in gated.decision_names}).logits
    found = calibrate(gated, x, risk=0.5, delta=0.2)
    assert found.thresholds is None
    differing = (np.asarray(evaluate(gated, x).logits).argmax(1) != np.asarray(whole).argmax(1)).mean()
    assert differing <= 0.5
    assert float(gated.decider.tau) == pytest.approx(found.tau)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"risk": 0}, "risk must be over 0 and under 1, got 0"),
        ({"delta": 1}, "delta must be over 0 and under 1, got 1"),
        ({"x": np.zeros((50, 2 * CLASSES), "float32"), "y": np.arange(50) % 4}, "takes at least 256 images, got 50"),
        ({"y": np.full(400, 9)}, "labels"),
        ({"x": np.full((400, 2 * CLASSES), np.nan)}, "finite"),
    ],
)
def test_bad_input_is_refused(cascade, changes, message):
    x, y = drawn(np.random.default_rng(0), 400)
    with pytest.raises(ValueError, match=message):
        calibrate(cascade, **{"x": x, "y": y, **changes})


def test_networks_without_thresholds_are_refused(toy_chain):
    model = kd.layers.DynamicModel(toy_chain())
    model.build((None, 8, 8, 3))
    with pytest.raises(
        ValueError, match="calibrate sets thresholds of confidences, or tau of gates or a policy, and Al"
    ):
        calibrate(model, np.zeros((400, 8, 8, 3), "float32"))
    regression = kd.layers.DynamicModel(toy_chain(), kd.deciders.PerUnitGates(), task="values")
    regression.build((None, 8, 8, 3))
    with pytest.raises(ValueError, match="needs one answer for each image that is right or wrong, got a regression"):
        calibrate(regression, np.zeros((400, 8, 8, 3), "float32"))


def alarms(rates, windows, seed, **kwargs):
    rng, monitor = np.random.default_rng(seed), StopMonitor([600, 300, 100], window=200, seed=seed, **kwargs)
    return sum(monitor.update(stage) for stage in rng.choice(3, size=200 * windows, p=rates))


def test_alarms_where_nothing_has_changed_are_as_rare_as_stated():
    """The held-out counts are a draw too; here they happen to be the true rates, where alarms are rarer still."""
    count = sum(alarms([0.6, 0.3, 0.1], 10, seed, false_alarm=0.05) for seed in range(20))
    assert count <= 200 * 0.05 + 2 * np.sqrt(200 * 0.05 * 0.95)


def test_a_change_raises_an_alarm():
    assert alarms([0.4, 0.35, 0.25], 5, 0, false_alarm=0.01) >= 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: StopMonitor([5]), "two or more stages"),
        (lambda: StopMonitor([0.5, 0.5]), "how many images stopped"),
        (lambda: StopMonitor([5, 5], window=0), "window must be a number of images"),
        (lambda: StopMonitor([5, 5], false_alarm=1), "false_alarm must be over 0"),
        (lambda: StopMonitor([5, 5]).update(2), "stage must be a number from 0 to 1, got 2"),
    ],
)
def test_what_a_monitor_cannot_be(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_where_nothing_can_be_promised_the_last_network_alone_answers(classifier_pair):
    """The sum with a bad first network is worse than the last alone, to which the promise compares."""
    bad, good, x, y = classifier_pair
    model = kd.models.cascade([bad, good])
    whole = np.asarray(good(x)).argmax(-1)
    with pytest.warns(UserWarning, match="nothing can be promised"):
        found = calibrate(model, x, y, risk=0.02, delta=0.001)
    assert (found.p_value, found.risk, found.delta) == (1.0, 0.02, 0.001)
    np.testing.assert_array_equal(np.asarray(model(x)).argmax(-1), whole)


def test_the_discount_is_the_best_of_those_tried(classifier_pair):
    bad, good, x, y = classifier_pair
    model = kd.models.cascade([bad, good])
    calibrate(model, x, y, risk=0.2, delta=0.1)
    assert model.discount < 1


@pytest.mark.parametrize("labelled", [True, False])
def test_what_an_earlier_call_left_changes_nothing(cascade, labelled):
    x, y = drawn(np.random.default_rng(0), 600)
    found = []
    for discount in (1.0, 0.0, 0.5):
        cascade.set_discount(discount)
        calibrated = calibrate(cascade, x, y if labelled else None, risk=0.05)
        found.append((cascade.discount, calibrated.p_value, *calibrated.thresholds))
    assert len(set(found)) == 1


@pytest.fixture
def classifier_pair():
    """A first network that is surely wrong for half of the inputs, and a last one that is nearly always right."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    x = rng.normal(0, 0.3, (400, 6)).astype(np.float32)
    x[np.arange(400), y] += 1  # what the last one reads
    x[np.arange(400), 3 + np.where(rng.random(400) < 0.5, y, (y + 1) % 3)] += 3  # what the first one reads

    def network(kernel, name):
        hidden = [] if name == "bad" else [keras.layers.Dense(6, kernel_initializer=keras.initializers.Identity())]
        made = keras.Sequential([keras.Input((6,)), *hidden, keras.layers.Dense(3, use_bias=False)], name=name)
        made.layers[-1].kernel.assign(kernel)
        return made

    bad = network(np.vstack([np.zeros((3, 3)), 4 * np.eye(3)]), "bad")
    return bad, network(np.vstack([6 * np.eye(3), np.zeros((3, 3))]), "good"), x, y
