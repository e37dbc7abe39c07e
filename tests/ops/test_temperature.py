"""The fitted temperature against a grid."""

import numpy as np
import pytest

from keras_dynamic.ops import fit_temperature


def mean_cross_entropy(logits, labels, temperature):
    scaled = logits / temperature
    log_sum = np.log(np.exp(scaled - scaled.max(1, keepdims=True)).sum(1)) + scaled.max(1)
    return (log_sum - scaled[np.arange(len(labels)), labels]).mean()


@pytest.mark.parametrize("true_temperature", [0.4, 1.0, 1.8, 6.0])
def test_it_is_the_best_of_a_fine_grid(true_temperature):
    rng = np.random.default_rng(0)
    clean = rng.normal(0, 2, (1000, 10))
    labels = (clean + rng.gumbel(size=clean.shape)).argmax(1)  # drawn with the softmax of `clean`
    logits = clean * true_temperature
    fitted = fit_temperature(logits, labels)
    grid = np.geomspace(0.05, 20, 1200)
    best = grid[np.argmin([mean_cross_entropy(logits, labels, t) for t in grid])]
    assert fitted == pytest.approx(best, rel=6e-3)
    assert fitted == pytest.approx(true_temperature, rel=0.1)


def test_it_stays_within_its_bounds():
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fit_temperature(logits, [0, 1], low=0.5, high=4.0) == pytest.approx(0.5, rel=1e-3)  # all right: ever sharper
    assert fit_temperature(logits, [1, 0], low=0.5, high=4.0) == pytest.approx(4.0, rel=1e-3)  # all wrong: ever flatter
