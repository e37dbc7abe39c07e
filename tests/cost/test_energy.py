"""Energy tables: the entries that a network needs, and what is refused."""

import pytest

from keras_dynamic.cost import HOROWITZ_2014, energy

OWN = {"mac": {8: 1.0}, "flash": 20.0, "sram": 2.0}


def test_the_entries_that_are_needed():
    assert energy(8, "flash", "sram", OWN) == (1.0, 20.0, 2.0)
    assert energy(32) == (HOROWITZ_2014["mac"][32], HOROWITZ_2014["dram"], HOROWITZ_2014["sram"]) == (4.6, 162.5, 1.25)
    # 1e6 multiply-adds of 1 pJ, 1,000 bytes of 20 pJ, 500 of 2 pJ
    assert energy(8, "flash", "sram", OWN).millijoules(1e6, 1000, 500) == pytest.approx(1e-9 * (1e6 + 20_000 + 1000))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bits": 4}, "has no entry 4, of the arithmetic, but [8, 16, 32]; add it, in picojoules"),
        ({"weights": "flash"}, "has no entry 'flash', of the weights' memory"),
        ({"maps": "scram"}, "has no entry 'scram', of the feature maps' memory (did you mean 'sram'?)"),
        ({"table": {"sram": 1.0}}, "has no entry 'mac', of multiply-adds"),
        ({"table": {"mac": 1.0}}, "the energy table's 'mac' must be {bits: picojoules}, got 1.0"),
        ({"table": {**OWN, "dram": -1}}, "the energy of a byte of 'dram' must be a non-negative number, got -1"),
    ],
)
def test_a_table_without_what_is_needed(arguments, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        energy(**arguments)
    assert words in str(caught.value)
