"""Weight decay as part of the loss, as PyTorch's optimizers have it."""

from keras import ops


def weight_decay(variables, coefficient):
    """Returns coefficient / 2 * sum of squares: its gradient, coefficient * w, goes through the momentum.

    Keras' optimizers decouple their weight_decay, which is about ten times weaker at momentum 0.9.

    Args:
        variables: list of weights.
        coefficient: PyTorch's weight_decay.

    Returns:
        Scalar tensor; 0 for no variables.
    """
    return 0.5 * coefficient * sum((ops.sum(ops.square(ops.cast(v, "float32"))) for v in variables), ops.zeros(()))
