"""Distillation from a network that runs everything."""

from keras import ops


def distillation(student_logits, teacher_logits, temperature=4.0):
    """Returns temperature^2 * KL(teacher || student), mean over the batch; the teacher's gradient is stopped.

    Args:
        student_logits: float tensor, [batch, classes].
        teacher_logits: float tensor, [batch, classes].
        temperature: positive; divides both logits.

    Returns:
        Scalar tensor.

    Source: Hinton et al. 2015.
    """
    teacher = ops.log_softmax(ops.stop_gradient(ops.cast(teacher_logits, "float32")) / temperature, axis=-1)
    student = ops.log_softmax(ops.cast(student_logits, "float32") / temperature, axis=-1)
    return temperature**2 * ops.mean(ops.sum(ops.exp(teacher) * (teacher - student), axis=-1))
