"""Distillation from a network that runs everything."""

from keras import ops

from keras_dynamic.ops import mean_over_batch


def distillation(student_logits, teacher_logits, temperature=4.0, sample_weight=None):
    """Returns temperature^2 * KL(teacher || student), mean over the batch; the teacher's gradient is stopped.

    Args:
        student_logits: float tensor, [batch, classes].
        teacher_logits: float tensor, [batch, classes].
        temperature: positive; divides both logits.
        sample_weight: float tensor [batch], or None.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: if there is one logit, of which a softmax is always 1.

    Source: Hinton et al. 2015.
    """
    if student_logits.shape[-1] == 1:
        raise ValueError(
            "distillation compares softmaxes and needs two logits or more, got one (binary classification or "
            "regression); give the network two logits, or train without distillation."
        )
    teacher = ops.log_softmax(ops.stop_gradient(ops.cast(teacher_logits, "float32")) / temperature, axis=-1)
    student = ops.log_softmax(ops.cast(student_logits, "float32") / temperature, axis=-1)
    divergence = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
    return temperature**2 * mean_over_batch(divergence, sample_weight)
