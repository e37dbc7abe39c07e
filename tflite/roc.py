"""The area under a curve of true against false alarms."""

import numpy as np


def area_under_roc(scores, y) -> float:
    """Returns how likely the score of an example of class 1 is over that of one of class 0, ties half.

    Args:
        scores: [n].
        y: 0 or 1, [n].

    Raises:
        ValueError: if y has other labels, or only one of them.
    """
    scores, y = np.asarray(scores), np.asarray(y)
    if set(y.tolist()) != {0, 1}:
        raise ValueError(f"an area under the ROC curve takes labels 0 and 1, both, got {sorted(set(y.tolist()))[:5]}.")
    normal = np.sort(scores[y == 0])
    under = [np.searchsorted(normal, scores[y == 1], side) for side in ("left", "right")]
    return float(np.mean(under) / len(normal))
