"""How BlockDrop holds the share of units that run."""

from keras_dynamic.messages import check_fraction

STRENGTHS = {"gamma": 15.0, "units": 50.0}  # the ways to hold it, and how strongly by default


def check_usage(usage, hold):
    """Returns a usage as floats, or raises if it does not fit the way in which it is held.

    Args:
        usage: share of units, {unit name: share}, or None.
        hold: one of STRENGTHS.

    Returns:
        Likewise.

    Raises:
        ValueError: if a share is outside (0, 1], or a usage per unit or none comes with the wrong hold.
    """
    if isinstance(usage, dict):
        if hold != "units":
            raise ValueError(f"a usage per unit needs hold='units', got {hold!r}.")
        return {name: _check_share(f"usage of {name!r}", value) for name, value in usage.items()}
    if usage is None and hold != "gamma":
        raise ValueError(f"hold={hold!r} needs a usage to hold, got None; give a share of units, e.g. usage=0.6.")
    return None if usage is None else _check_share("usage", usage)


def _check_share(name, value):
    if not check_fraction(name, value) > 0:
        raise ValueError(f"{name} must be over 0, got {value!r}; give usage=None to leave it to gamma.")
    return float(value)
