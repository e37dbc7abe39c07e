"""Checks of arguments, and wording that errors share."""

import difflib
import itertools
import numbers
from collections.abc import Iterable


def did_you_mean(received, known: Iterable[str]) -> str:
    """Returns ' (did you mean X?)' for the known name nearest to the received one, or ''.

    Args:
        received: the caller's argument, of any type.
        known: valid names.
    """
    matches = difflib.get_close_matches(str(received), [str(name) for name in known], n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def distinct(names: Iterable[str]) -> list[str]:
    """Returns the names, with '_2', '_3' ... after those that came before."""
    found: list[str] = []
    for name in names:
        tried = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
        found.append(next(candidate for candidate in tried if candidate not in found))
    return found


def is_count(value, least: int = 1) -> bool:
    """Returns whether value is an int, and no bool, of at least `least`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_count(name: str, value, least: int = 1) -> int:
    """Returns value, or raises a ValueError if it isn't an int, and no bool, of at least `least`."""
    if not is_count(value, least):
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return value


def check_fraction(name: str, value) -> float:
    """Returns value as a float, or raises if it isn't a number in [0, 1].

    Args:
        name: the argument's name, for the error.
        value: the caller's argument.

    Raises:
        ValueError: if value is no number or lies outside [0, 1].
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name} must be a number between 0 and 1, got {value!r}; give it as a fraction, e.g. 0.6.")
    return number


def check_open_probability(value) -> float:
    """Returns a decider's initial probability as a float; raises a ValueError unless it is strictly in (0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0.0 < float(value) < 1.0:
        raise ValueError(f"open_probability must lie strictly between 0 and 1, got {value!r}; try 0.9.")
    return float(value)


def check_number(name: str, value, positive: bool = False) -> float:
    """Returns value as a float, or raises if it isn't a finite number of at least 0, or over 0.

    Args:
        name: the argument's name, for the error.
        value: the caller's argument.
        positive: whether 0 is refused.

    Raises:
        ValueError: if value is no such number.
    """
    number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else float("nan")
    if not (number > 0 if positive else number >= 0) or number == float("inf"):
        raise ValueError(f"{name} must be a {'positive' if positive else 'non-negative'} number, got {value!r}.")
    return number
