"""How easy an image is, read off a classifier's logits, and the share of units that it should drop."""

import math

from keras import ops

from keras_dynamic.ops.labels import check_classes


def softmax_variance(logits):
    """Returns the variance over classes of the softmax: 0 where all classes are as likely, most where one is certain.

    Args:
        logits: float tensor, [batch, classes].

    Returns:
        float32 tensor [batch], in [0, (1 / classes) (1 - 1 / classes)].

    Source: SGAD, equation 9, whose s are the logits: the softmax is in the equation.
    """
    check_classes(logits.shape[-1], "a guideline")
    probabilities = ops.softmax(ops.cast(logits, "float32"), axis=-1)
    return ops.mean(ops.square(probabilities - 1.0 / logits.shape[-1]), axis=-1)


def expected_drop_ratio(variance, classes, s_max):
    """Returns the share of units that an image should drop: 1 - (1 - s_max)^(classes x variance).

    The paper prints scale = -M ln(s_max) / ln(L), which would give a largest ratio of 1 - s_max; its text, a ratio in
    [0, s_max], and its table 1 need ln(1 - s_max), and then the number of units L cancels. As the variance stays under
    1 / M, even a certain image's ratio stays under s_max: for 10 classes and s_max 0.8 it is 0.765.

    Args:
        variance: float tensor [batch], of softmax_variance.
        classes: number of classes, M.
        s_max: largest ratio, in (0, 1).

    Returns:
        float32 tensor [batch], in [0, s_max).

    Raises:
        ValueError: if s_max is outside (0, 1).

    Source: SGAD, equation 11, corrected.
    """
    if not 0.0 < s_max < 1.0:
        raise ValueError(f"s_max must lie strictly between 0 and 1, got {s_max!r}; the paper takes 0.2 and 0.8.")
    return 1.0 - ops.exp(ops.cast(variance, "float32") * (classes * math.log(1.0 - s_max)))
