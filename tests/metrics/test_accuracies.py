"""Guesses counted by hand."""

import numpy as np
import pytest

from keras_dynamic.metrics import accuracies, top_k_accuracy

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])


def test_guesses_are_taken_in_the_order_of_the_scores():
    labels = [1, 2, 0, 0]  # first, second, third and first guess
    assert [top_k_accuracy(SCORES, labels, k) for k in (1, 2, 3)] == [0.5, 0.75, 1.0]


def test_the_first_guess_is_argmax_also_of_equal_scores():
    scores = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]])
    for labels in ([0, 0], [1, 1], [2, 2], [0, 2]):
        assert top_k_accuracy(scores, labels, 1) == (scores.argmax(1) == labels).mean()
    assert top_k_accuracy(scores, [1, 1], 2) == 1.0


def test_a_network_that_has_diverged_is_never_right():
    assert top_k_accuracy(np.full((2, 3), np.nan), [0, 2], 2) == 0.0


def test_five_guesses_of_ten_classes_say_nothing():
    scores = np.random.default_rng(0).normal(size=(40, 11))
    labels = np.arange(40) % 10
    ranks = np.argsort(-scores, axis=1)
    among = [label in ranks[row, :5] for row, label in enumerate(labels)]
    assert accuracies(scores, labels) == {
        "accuracy": (ranks[:, 0] == labels).mean(),
        "accuracy_top5": np.mean(among),
    }
    assert set(accuracies(scores[:, :10], labels)) == {"accuracy"}


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match=r"scores \[n, classes\], got shape \[4\]"):
        top_k_accuracy(SCORES[:, 0], [0, 1, 2, 0], 1)
    with pytest.raises(ValueError, match="y must be 4 labels, one per image, got 3"):
        accuracies(SCORES, [0, 1, 2])
    with pytest.raises(ValueError, match="an accuracy needs logits of two classes or more, got 1"):
        accuracies(SCORES[:, :1], [0, 0, 0, 0])
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        top_k_accuracy(SCORES, [0, 1, 2, 0], 0)
