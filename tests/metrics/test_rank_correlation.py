"""Spearman's rho against values worked by hand."""

import numpy as np
import pytest

from keras_dynamic.metrics import rank_correlation


@pytest.mark.parametrize(
    ("first", "second", "rho"),
    [
        ([1, 2, 3, 4], [10, 20, 400, 8000], 1.0),
        ([1, 2, 3, 4], [0, -1, -5, -6], -1.0),
        # 1 - 6 sum(d^2) / (n (n^2 - 1)) with differences of ranks 0 2 1 1 2: 1 - 60 / 120
        ([86, 97, 99, 100, 101], [2, 28, 20, 50, 27], 0.5),
        # The example of Wikipedia, IQ and hours of television: 1 - 6 * 194 / 990
        ([106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17], -29 / 165),
        # Ranks 1 2.5 2.5 4 and 1.5 1.5 3.5 3.5: sum of products 3, of squares 4.5 and 4
        ([0, 1, 1, 2], [5, 5, 6, 6], 3 / np.sqrt(18)),
        ([1, 2, 3], [7, 7, 7], 0.0),
    ],
)
def test_known_values(first, second, rho):
    assert rank_correlation(first, second) == pytest.approx(rho, abs=1e-12)
    assert rank_correlation(second, first) == pytest.approx(rho, abs=1e-12)


def test_only_the_order_counts():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 500))
    rho = rank_correlation(first, second)
    assert abs(rho) < 0.2
    assert rank_correlation(np.exp(first), second**3) == pytest.approx(rho)


@pytest.mark.parametrize(("first", "second"), [([1, 2], [1, 2, 3]), ([1], [1]), ([[1, 2]], [[1, 2]])])
def test_what_cannot_be_paired_is_an_error(first, second):
    with pytest.raises(ValueError, match=r"two rows of n >= 2 numbers, got shapes \["):
        rank_correlation(first, second)


def test_what_cannot_be_ranked_is_an_error():
    with pytest.raises(ValueError, match="got NaN"):
        rank_correlation([1, 2, np.nan], [1, 2, 3])
