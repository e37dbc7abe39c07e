"""Integer arithmetic as TensorFlow Lite's: against fractions, exponentials and its own reference kernels."""

import math
from fractions import Fraction

import numpy as np
import pytest

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.c_source import fixed_point

ONE = 1 << 31


@pytest.mark.parametrize("value", [1.0, 0.5, 0.3, 1e-4, 7.25, 1000.0])
def test_a_ratio_has_31_bits(value):
    multiplier, shift = fixed_point.ratio(value)
    assert 1 << 30 <= multiplier < ONE
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(value, rel=2**-31)


def test_ratios_at_the_ends():
    assert fixed_point.ratio(0.0) == (0, 0)
    assert fixed_point.ratio(0.5) == (1 << 30, 0)
    assert fixed_point.ratio(2.0**-40) == (0, 0)
    assert fixed_point.ratio(1 - 2.0**-40) == (1 << 30, 1)  # rounds up to the next power of two


@pytest.mark.parametrize("count", [1, 9, 64, 100])
def test_a_mean_divides_by_its_count(count):
    multiplier, shift = fixed_point.ratio_of_mean(0.7, count)
    assert multiplier < ONE
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(0.7 / count, rel=1e-8)


def half_away(value: Fraction) -> int:
    """The nearest whole number, halves away from zero."""
    whole = math.floor(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def test_products_round_halves_up_and_shifts_away_from_zero():
    rng = np.random.default_rng(0)
    for a, b in [*rng.integers(-ONE, ONE, (200, 2)).tolist(), (1 << 15, 1 << 15), (-(1 << 15), 1 << 15)]:
        assert fixed_point.high_product(a, b) == math.floor(Fraction(a * b, ONE) + Fraction(1, 2))
    for x in [*range(-40, 40), *rng.integers(-ONE, ONE, 100).tolist()]:
        for exponent in (0, 1, 3, 12):
            assert fixed_point.rounded_shift(x, exponent) == half_away(Fraction(x, 1 << exponent))


def test_exponentials():
    for x in np.linspace(-20, 0, 101):
        found = fixed_point.exponential(round(x * (1 << 26)))
        assert found / ONE == pytest.approx(math.exp(x), abs=5e-7)


def test_a_softmax_table():
    table, least = fixed_point.softmax_table(0.1, 1.0)
    np.testing.assert_allclose(np.array(table) / ONE, np.exp(-0.1 * np.arange(256)), atol=5e-7)
    assert least == -248  # 31 / 0.125, the next power of two above the scale
    table, least = fixed_point.softmax_table(2.0, 1.0)
    assert least == -7  # 31 / 4, likewise
    assert not any(table[8:])


def test_ranges_of_activations():
    types = flatbuffer.schema().ActivationFunctionType
    assert fixed_point.activation_range(types.NONE, 0.1, 3) == (-128, 127)
    assert fixed_point.activation_range(types.RELU, 0.1, 3) == (3, 127)
    assert fixed_point.activation_range(types.RELU6, 0.1, -128) == (-128, -68)
    assert fixed_point.activation_range(types.RELU_N1_TO_1, 0.1, 3) == (-7, 13)
    with pytest.raises(ValueError, match="a fused activation of type 4 has no kernel in C"):
        fixed_point.activation_range(types.TANH, 0.1, 0)
