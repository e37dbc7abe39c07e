"""Binary Gumbel sampling with a straight-through gradient."""

import keras
from keras import ops


def logistic_noise(shape, seed=None):
    """Samples the difference of two independent Gumbel variables, which is logistic.

    Args:
        shape: shape of the sample.
        seed: int, keras.random.SeedGenerator or None.

    Returns:
        float32 tensor of this shape.
    """
    uniform = keras.random.uniform(shape, minval=1e-7, maxval=1.0 - 1e-7, dtype="float32", seed=seed)
    return ops.log(uniform) - ops.log1p(-uniform)


def binary_gumbel(logits, temperature=1.0, hard=True, noise=None, seed=None):
    """Samples 0/1 decisions that are 1 with probability sigmoid(logits), differentiably.

    With two logits w0 (off) and w1 (on), the categorical Gumbel-softmax depends on them through w1 - w0 alone, and the
    difference of the two Gumbel variables is logistic: Z = 1 where w1 - w0 + noise > 0. The gradient is that of
    the soft sample sigmoid((w1 - w0 + noise) / temperature).

    Args:
        logits: float tensor of any shape, w1 - w0.
        temperature: positive float or scalar tensor.
        hard: True for 0/1 values with the soft sample's gradient, False for the soft sample itself.
        noise: logistic noise of the logits' shape; None samples it.
        seed: int, keras.random.SeedGenerator or None, used if noise is None.

    Returns:
        float32 tensor of the logits' shape, in {0, 1} if hard, else in (0, 1).

    Source: Herrmann et al., section 3.2 (temperature 1, hard); Jang et al. 2017; Maddison et al. 2017.
    """
    logits = ops.cast(logits, "float32")
    noise = logistic_noise(ops.shape(logits), seed) if noise is None else ops.cast(noise, "float32")
    noisy = logits + noise
    soft = ops.sigmoid(noisy / temperature)
    if not hard:
        return soft
    return ops.stop_gradient(ops.cast(noisy > 0, "float32")) + (soft - ops.stop_gradient(soft))
