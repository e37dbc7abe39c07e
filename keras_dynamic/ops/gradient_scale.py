"""Scaling of gradients without change to values."""

from keras import ops


def scale_gradient(x, factor):
    """Hands x through and multiplies its gradient by factor.

    Args:
        x: float tensor of any shape.
        factor: float; 0 stops the gradient.

    Returns:
        x, exactly.

    Source: IMTA, equations 4 and 5 (gradient equilibrium).
    """
    x = ops.convert_to_tensor(x)
    held = ops.stop_gradient(x)
    return held + (x - held) * ops.cast(factor, x.dtype)
