"""Which decisions become IFs, under which number, and which cannot."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, layers, lite, models


class Channels(layers.Decider):
    """Decides by the unit's input, [batch, channels], through a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def decide(self, k, x, carry, training=None):
        decision = self.function(keras.ops.mean(x, (1, 2)))
        return {self.unit_names[k]: decision}, {self.unit_names[k]: decision}, carry


@pytest.fixture
def cascade(tiny, images):
    """Three networks; the units of the second are frozen, so constant decisions stand between those of images."""
    plain = tiny(layers.Always(), seed=1, name="plain")
    frozen = tiny(deciders.Pattern({"one": 1, "two": 0}), seed=2, name="frozen")
    model = models.cascade([plain, frozen, tiny(seed=3, name="gated")])
    model.build((None, *images.shape[1:]))
    model.fit_thresholds(images, quantiles=[0.7, 0.5])
    return model


def test_decisions_of_images_between_constant_ones_are_numbered_without_gaps(cascade, images):
    exported = lite.export(cascade, outputs=("decisions", "macs"))
    names = lite.read_metadata(exported)["decisions"]
    assert names == ["frozen", "gated", "gated/one", "gated/two"]
    assert {"frozen/one", "frozen/two"} < set(cascade.decision_names)
    runner, outcome = lite.Interpreter(exported), cascade.outcome(images, training=False)
    found = [runner.run(image) for image in images]
    expected = {name: np.asarray(value) for name, value in outcome.decisions.items()}
    np.testing.assert_array_equal(
        np.concatenate([each["decisions"] for each in found]), np.stack([expected[name] for name in names], axis=1)
    )
    macs = np.concatenate([each["macs"] for each in found]) * lite.read_metadata(exported)["macs_unit"]
    np.testing.assert_array_equal(macs, cost.given(cascade.cost_tree, expected))
    assert 0 < np.mean(expected["gated"]) < np.mean(expected["frozen"]) < 1


def test_int8_thresholds_are_set_for_the_right_networks(cascade, images):
    exported = lite.export(cascade, "int8", images, outputs=("decisions",))
    runner = lite.Interpreter(exported)
    shares = np.mean([runner.run(image)["decisions"][0] for image in images], axis=0)
    outcome = cascade.outcome(images, training=False)
    expected = [np.mean(outcome.decisions[name]) for name in ("frozen", "gated")]
    np.testing.assert_allclose(shares[:2], expected, atol=0.15)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda x: keras.ops.cast(x[:, 0] > 0, "float32"), r"float32 of shape \[1\]"),
        (lambda x: x > 0, r"bool of shape \[1, 4\]"),
    ],
)
def test_a_decision_that_is_not_one_bool_is_an_error_of_one_sentence(tiny, function, got):
    with pytest.raises(ValueError, match=rf"^decision 'one' must be one bool per image .*, got {got} .*\.$"):
        lite.export(tiny(Channels(function)))


def test_a_constant_without_a_batch_is_settled(tiny):
    exported = lite.export(tiny(Channels(lambda x: keras.ops.convert_to_tensor(False))))
    assert lite.verify(exported).conditionals == 0
