"""Whether decisions are the same for all images: polarised, as Herrmann et al. call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

NEARLY = 0.05  # activation rates nearer to 0 or 1 count as polarised (section 4.5.3)


class Polarisation(NamedTuple):
    """How many decisions are settled.

    Attributes:
        always_off: Decisions that run for no image.
        between: Decisions that run for some images.
        always_on: Decisions that run for all images.
        polarised: Share of the decisions that run for less than 5 % or more than 95 % of the images.
    """

    always_off: int
    between: int
    always_on: int
    polarised: float


def polarisation(rates: Mapping[str, float]) -> Polarisation:
    """Counts the decisions that hardly depend on the image.

    Args:
        rates: Share of images that run each decision {name: rate in [0, 1]}, at least one.

    Returns:
        The counts.

    Raises:
        ValueError: If there are no rates.

    Source:
        Herrmann et al., sections 3.1 and 4.5.3.
    """
    if not rates:
        raise ValueError("Expected activation rates {decision: rate}, got none; a static network cannot polarise.")
    values = np.array([float(rate) for rate in rates.values()])
    off, on = int((values == 0).sum()), int((values == 1).sum())
    polarised = float(((values < NEARLY) | (values > 1 - NEARLY)).mean())
    return Polarisation(off, len(values) - off - on, on, polarised)
