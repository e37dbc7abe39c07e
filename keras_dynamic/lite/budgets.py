"""A table of budgets and the thresholds that keep them, fitted on an exported model's own confidences."""

import numpy as np

from keras_dynamic.lite.metadata import macs_under
from keras_dynamic.lite.pixels import Port, decode
from keras_dynamic.lite.thresholds import written
from keras_dynamic.ops import budget_thresholds, stops

ROWS = 25  # which has the halves, thirds and sixths of the way


def budget_table(seen, macs, port: Port) -> list[dict]:
    """Fits thresholds for budgets from the first stop's MACs to the last's.

    An int8 confidence of the largest integer is under no threshold: such images stop, and are counted so.

    Args:
        seen: confidences at each decision on held-out images, as the model has them, [n, k].
        macs: MACs of an image that stops at each decision or at none, rising, [k + 1].
        port: the thresholds' input.

    Returns:
        ROWS rows {'macs': budget, 'macs_mean': what is spent on these images, never more, 'thresholds': k numbers,
        None for infinity}.

    Source: MSDNet, section 4.2, for the quotas.
    """
    macs = np.asarray(macs)
    confidences, most = decode(seen, port), np.inf
    if port.scale:
        largest = np.iinfo(port.dtype).max
        confidences = np.where(seen == largest, np.float32(np.inf), confidences)
        most = decode(np.array(largest, port.dtype), port).item()
    rows = []
    for budget in np.linspace(macs[0], macs[-1], ROWS).astype(int):
        thresholds = np.minimum(budget_thresholds(confidences, macs, budget), np.float32(most))
        mean = float(macs[stops(confidences, thresholds)].mean())
        rows.append({"macs": int(budget), "macs_mean": mean, "thresholds": written(thresholds)})
    return rows


def macs_of_stops(cost, names) -> list[int]:
    """Returns the MACs of an image that stops at each decision, the first first, and at none.

    Args:
        cost: the metadata's cost table.
        names: of the decisions, in order; who stops at one passes none behind it.
    """
    stops = range(len(names) + 1)
    return [macs_under(cost, {name: int(k < stop) for k, name in enumerate(names)}) for stop in stops]
