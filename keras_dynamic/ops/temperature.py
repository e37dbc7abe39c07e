"""Temperature scaling of logits (NumPy)."""

import numpy as np

from keras_dynamic.ops.labels import class_numbers

_GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def fit_temperature(logits, labels, low=0.05, high=20.0) -> float:
    """Returns the temperature of least mean cross entropy, by golden-section search on its logarithm.

    Cross entropy is convex in 1 / T, so it has one minimum in log T.

    Args:
        logits: float array, [n, classes].
        labels: class numbers [n], or one-hot [n, classes].
        low: least temperature tried.
        high: largest temperature tried.

    Returns:
        Temperature, to a relative precision of 1e-4.

    Raises:
        ValueError: if labels are not one class per image, from 0 to classes - 1.

    Source: Guo et al. 2017, section 4.2.
    """
    logits = np.asarray(logits, np.float64)
    labels = class_numbers(labels, logits.shape[1], len(logits))
    rows = np.arange(len(logits))

    def loss(log_t):
        scaled = logits / np.exp(log_t)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return (np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, labels]).mean()

    a, b = np.log(low), np.log(high)
    c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_c, at_d = loss(c), loss(d)
    while b - a > 1e-4:
        if at_c < at_d:
            b, d, at_d = d, c, at_c
            c = b - _GOLDEN * (b - a)
            at_c = loss(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + _GOLDEN * (b - a)
            at_d = loss(d)
    return float(np.exp((a + b) / 2.0))
