"""Halving by hand."""

import pytest

from keras_dynamic.ops import bracket, within_budget


@pytest.mark.parametrize(
    ("budget", "within", "over"),
    [(9.0, 2.75, 3.0), (8.99, 2.75, 3.0), (0.0, 0.0, 0.25), (16.0, 4.0, 4.0), (99.0, 4.0, 4.0), (-1.0, 0.0, 0.0)],
)
def test_the_two_sides_of_a_budget(budget, within, over):
    found = bracket(lambda number: number**2 + (number == 3.0), budget, 0.0, 4.0, halvings=4)
    assert [each.number for each in found] == [within, over]
    assert [each.spent for each in found] == [each.number**2 + (each.number == 3.0) for each in found]


def test_what_does_not_quite_rise_is_never_over_the_budget():
    for budget in (0.1, 0.35, 0.6, 0.95):
        within, over = bracket(lambda number: number + 0.2 * (int(100 * number) % 2), budget, 0.0, 1.0, halvings=20)
        assert within.spent <= budget < over.spent


def test_a_budget_is_kept_but_for_rounding():
    assert within_budget(0.4 + 1e-16 * 4, 0.4)
    assert not within_budget(0.4 + 1e-6, 0.4)
    assert bracket(lambda number: 0.4 + 1e-15 + number, 0.4, 0.0, 1.0, halvings=3)[0].spent == 0.4 + 1e-15
