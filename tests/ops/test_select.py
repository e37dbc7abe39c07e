"""Run-or-skip over nests: values, gradients, and leaves that are handed through."""

import keras
import numpy as np
import pytest

from keras_dynamic.ops import blend, select

RUNS = np.array([True, False, True])


def nests():
    rng = np.random.default_rng(0)
    shapes = {"a": (3, 2, 2, 4), "b": [(3, 5), (3,)]}
    pair = [keras.tree.map_shape_structure(lambda s: rng.normal(size=s).astype(np.float32), shapes) for _ in range(2)]
    return [keras.tree.map_structure(keras.ops.convert_to_tensor, nest) for nest in pair]


def expected(branch, otherwise):
    """What Python's own indexing takes from either side."""

    def take(b, o):
        b, o = keras.ops.convert_to_numpy(b), keras.ops.convert_to_numpy(o)
        return np.stack([b[k] if run else o[k] for k, run in enumerate(RUNS)])

    return keras.tree.map_structure(take, branch, otherwise)


@pytest.mark.parametrize("form", ["select", "blend"])
def test_each_image_gets_its_side(form):
    branch, otherwise = nests()
    taken = select(RUNS, branch, otherwise) if form == "select" else blend(RUNS.astype(np.float32), branch, otherwise)
    keras.tree.map_structure(
        lambda found, wanted: np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), wanted),
        taken,
        expected(branch, otherwise),
    )


@pytest.mark.parametrize("form", [select, blend])
def test_a_shared_leaf_is_handed_through(form):
    branch, otherwise = nests()
    otherwise["a"] = branch["a"]
    taken = form(keras.ops.convert_to_tensor(RUNS), branch, otherwise)
    assert taken["a"] is branch["a"]
    assert taken["b"][0] is not branch["b"][0]


@pytest.mark.parametrize("form", [select, blend])
def test_different_structures_are_an_error(form):
    branch, otherwise = nests()
    with pytest.raises(ValueError, match=r"same structure, got .*'b'.* and \{'a': \(3, 2, 2, 4\)\}"):
        form(RUNS, branch, {"a": otherwise["a"]})


def test_blend_is_differentiable_in_the_decision(gradient):
    branch, otherwise = (nest["a"] for nest in nests())
    found = gradient(lambda d: blend(d, branch, otherwise), np.array([0.2, 0.5, 1.0], np.float32))
    difference = keras.ops.convert_to_numpy(branch) - keras.ops.convert_to_numpy(otherwise)
    np.testing.assert_allclose(found, difference.sum(axis=(1, 2, 3)), rtol=1e-5)


def test_blend_mixes_by_soft_decisions():
    mixed = blend(np.array([0.25], np.float32), np.array([[8.0]], np.float32), np.array([[4.0]], np.float32))
    assert keras.ops.convert_to_numpy(mixed).tolist() == [[5.0]]


def test_blend_keeps_half_precision():
    b, o = (keras.ops.cast(value, "bfloat16") for value in (np.ones((3, 2)), np.zeros((3, 2))))
    mixed = blend(RUNS.astype(np.float32), b, o)
    assert keras.backend.standardize_dtype(mixed.dtype) == "bfloat16"
