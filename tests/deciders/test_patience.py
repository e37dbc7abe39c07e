"""Stop at the same answer several exits in a row."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.deciders import Patience
from keras_dynamic.layers import DynamicModel, Exit


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def model_of(toy_chain, patience, exits=4):
    heads = [
        Exit([layers.GlobalAveragePooling2D(), layers.Dense(3)], f"unit{k}", name=f"exit{k}")
        for k in range(1, exits + 1)
    ]
    model = DynamicModel(toy_chain(units=exits, exits=heads), Patience(patience))
    model.build((None, 8, 8, 3))
    return model


# Answers of five images at four exits in a row.
ANSWERS = np.array([[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 2, 2], [0, 1, 2, 1], [1, 1, 2, 2]])


@pytest.mark.parametrize(
    ("patience", "going"),
    [
        (2, [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0]]),
        (3, [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]),
        (4, [[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]),
    ],
)
def test_it_counts_equal_answers_in_a_row(patience, going, toy_chain):
    """Asked at every exit of every image, as if nobody had stopped before."""
    model = model_of(toy_chain, patience)
    carry = model.decider.begin(None, None)
    found = {}
    for k, answers in enumerate(ANSWERS.T, 1):
        logits = np.eye(3, dtype=np.float32)[answers]
        decided, chances, carry = model.decider.decide_exit(f"exit{k}", logits, None, carry)
        assert decided.keys() == chances.keys()
        found |= decided
    assert [value is True for value in found.values()] == [k < patience for k in range(1, 5)]  # known while tracing
    found = [np.broadcast_to(array(value), 5) for value in found.values()]
    np.testing.assert_array_equal(np.stack(found, axis=1), np.bool_(going))


def test_an_image_has_the_answer_that_it_gave_twice(toy_chain, toy_images, spread_exits):
    model = model_of(toy_chain, 2)
    spread_exits(model, toy_images(64))
    outcome = model.outcome(toy_images(64))
    answers = np.stack([array(logits).argmax(-1) for logits in outcome.exits.values()])
    logits = np.stack([*map(array, outcome.exits.values())])
    same = answers[1:] == answers[:-1]
    at = np.where(same.any(axis=0), same.argmax(axis=0) + 1, -1)
    stopped = at >= 0
    assert 0 < stopped.mean() < 1
    assert len(set(at)) > 2
    np.testing.assert_allclose(array(outcome.logits)[stopped], logits[at[stopped], np.flatnonzero(stopped)], atol=1e-6)
    np.testing.assert_array_equal(outcome.decisions["exit2"], ~same[0])
    np.testing.assert_array_equal(outcome.decisions["exit4"], ~stopped)


def test_a_saved_model_has_its_patience(toy_chain, toy_images, spread_exits, tmp_path):
    model = model_of(toy_chain, 3)
    spread_exits(model, toy_images(16))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.decider.patience == 3
    keras.tree.map_structure(
        np.testing.assert_array_equal,
        loaded.outcome(toy_images(16)).decisions,
        model.outcome(toy_images(16)).decisions,
    )


@pytest.mark.parametrize("patience", [1, 0, -2, 2.0, True, "2"])
def test_patience_is_a_count_of_two_and_more(patience):
    with pytest.raises(ValueError, match=r"patience must be a whole number of exits, at least 2, got "):
        Patience(patience)


@pytest.mark.parametrize(("patience", "exits"), [(3, 2), (2, 1), (2, 0)])
def test_there_must_be_so_many_exits(patience, exits, toy_chain):
    with pytest.raises(ValueError, match=rf"patience must be at most the {exits} exits of the chain, got {patience}"):
        model_of(toy_chain, patience, exits)
