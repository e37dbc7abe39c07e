"""A user's own unit over a nest: combine, select, and leaves that nobody touches."""

import keras
import numpy as np
import pytest

from keras_dynamic.cost import Guard, Node
from keras_dynamic.layers import Unit


class Grow(Unit):
    """DenseNet's form: zeros stand in, the result is joined outside the select; 'side' is handed through."""

    def branch(self, x, training=None):
        return {"new": 2.0 * x["main"], "side": x["side"]}

    def otherwise(self, x, training=None):
        return {"new": keras.ops.zeros_like(x["main"]), "side": x["side"]}

    def combine(self, x, y):
        return {"main": keras.ops.concatenate([x["main"], y["new"]], axis=-1), "side": y["side"]}

    def cost_node(self, x, guard: Guard | None) -> Node:
        return Node(self.name, children=(Node("new", 7, when=guard),))


X = {"main": np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), "side": np.array([[5.0], [6.0]], np.float32)}


@pytest.mark.parametrize(
    ("how", "main"),
    [
        (lambda unit, x: unit(x), [[1, 2, 2, 4], [3, 4, 6, 8]]),
        (lambda unit, x: unit.skip(x), [[1, 2, 0, 0], [3, 4, 0, 0]]),
        (lambda unit, x: unit(x, decision=np.float32([0, 1])), [[1, 2, 0, 0], [3, 4, 6, 8]]),
        (lambda unit, x: unit(x, decision=np.float32([0.5, 0.25])), [[1, 2, 1, 2], [3, 4, 1.5, 2]]),
    ],
    ids=["run", "skip", "decided", "soft"],
)
def test_combine_and_select(how, main):
    y = how(Grow(), X)
    np.testing.assert_allclose(y["main"], main)
    np.testing.assert_array_equal(y["side"], X["side"])


def test_what_both_sides_hand_through_is_not_selected():
    unit = Grow()
    x = {name: keras.ops.convert_to_tensor(value) for name, value in X.items()}
    assert unit.masked(x, keras.ops.convert_to_tensor([0.0, 1.0]))["side"] is x["side"]


def test_its_spec_follows_from_its_call():
    y = Grow()({"main": keras.KerasTensor((None, 3)), "side": keras.KerasTensor((None, 1))})
    assert tuple(y["main"].shape) == (None, 6)


@pytest.mark.parametrize("call", ["branch", "otherwise", "cost_node"])
def test_a_subclass_must_say_what_it_does(call):
    class Empty(Unit):
        pass

    with pytest.raises(NotImplementedError, match=rf"Empty must define {call}\(x, "):
        getattr(Empty(), call)(X, None)
