"""What arithmetic and memory traffic cost in energy."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from keras_dynamic.messages import check_number, did_you_mean

# Picojoules: of a multiply-add of so many bits (8: integers, 16 and 32: floats), and of a byte from a memory. SRAM is a
# cache of 8 KB, read in words of 64 bits for 10 pJ; larger ones of 32 KB and 1 MB take 2 and 10 times as much. DRAM is
# the lower end of 1.3 to 2.6 nJ a word.
HOROWITZ_2014: dict[str, Any] = {"mac": {8: 0.23, 16: 1.5, 32: 4.6}, "sram": 1.25, "dram": 162.5}
MACS = "mac"


class Energy(NamedTuple):
    """Energy in picojoules.

    Attributes:
        mac: of a multiply-add.
        weight_byte: of a byte of weights that is read.
        map_byte: of a byte of a feature map that is read or written.
    """

    mac: float
    weight_byte: float
    map_byte: float

    def millijoules(self, macs, weight_bytes, map_bytes) -> float:
        """Returns the energy of so many multiply-adds and bytes."""
        return 1e-9 * (self.mac * macs + self.weight_byte * weight_bytes + self.map_byte * map_bytes)


def energy(bits=8, weights="dram", maps="sram", table: Mapping[str, Any] | None = None) -> Energy:
    """Returns the entries of an energy table that a network needs.

    Args:
        bits: of the arithmetic.
        weights: name of the memory that weights are read from.
        maps: name of the memory for feature maps.
        table: {'mac': {bits: picojoules of a multiply-add}, memory: picojoules of a byte}, such as one that you
            measured; None for HOROWITZ_2014, in 45 nm, which has multiply-adds of 8, 16 and 32 bits, 'sram' and 'dram'.

    Raises:
        ValueError: if the table lacks an entry, or one is no number of at least 0.

    Source: Horowitz, Computing's energy problem (ISSCC 2014).
    """
    table = HOROWITZ_2014 if table is None else table
    arithmetic = _entry(table, MACS, "of multiply-adds")
    if not isinstance(arithmetic, Mapping):
        raise ValueError(f"the energy table's {MACS!r} must be {{bits: picojoules}}, got {arithmetic!r}.")
    return Energy(
        check_number(f"the energy of a multiply-add of {bits} bits", _entry(arithmetic, bits, "of the arithmetic")),
        check_number(f"the energy of a byte of {weights!r}", _entry(table, weights, "of the weights' memory")),
        check_number(f"the energy of a byte of {maps!r}", _entry(table, maps, "of the feature maps' memory")),
    )


def _entry(table, key, what):
    if key not in table:
        guess = did_you_mean(key, [name for name in table if isinstance(name, str)]) if isinstance(key, str) else ""
        raise ValueError(
            f"the energy table has no entry {key!r}, {what}{guess}, but {list(table)}; add it, in picojoules."
        )
    return table[key]
