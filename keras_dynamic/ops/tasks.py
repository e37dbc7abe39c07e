"""What a network's logits are for, and how its answers compare with the right ones."""

import keras
import numpy as np
from keras import ops

from keras_dynamic.ops.labels import class_numbers

# classes: one of several classes, or of two by one logit. labels: each logit says whether a label applies.
# values: a regression. Logits [batch, ..., n] may have one answer for each pixel or step.
TASKS = ("classes", "labels", "values")

_OF_VALUES = (
    *("squared", "absolute", "mse", "mae", "msle", "mape", "huber", "log_cosh", "logcosh", "poisson", "cosine"),
    "tweedie",
)


def task_of_loss(loss, logits) -> str:
    """Returns the task that a compiled loss is for: 'labels' for a binary cross entropy of several logits, 'values' for
    that of a regression, else 'classes'.

    Args:
        loss: what was given to compile: a name, function or keras.losses.Loss, or a list or dictionary of one; None for
            none. A loss of one's own tells its task by its name alone.
        logits: number of logits per image.
    """
    name = loss_name(loss)
    if any(part in name for part in _OF_VALUES):
        return "values"
    return "labels" if _is_binary(name) and logits > 1 else "classes"


def only_loss(loss):
    """Returns the loss in a list or dictionary of one, and anything else as it is."""
    while isinstance(loss, (list, tuple, dict)) and len(loss) == 1:
        (loss,) = loss.values() if isinstance(loss, dict) else loss
    return loss


def loss_name(loss) -> str:
    """Returns the name of a compiled loss in small letters, of Keras' classes that of the class; '' for none."""
    loss = only_loss(loss)
    if isinstance(loss, keras.losses.Loss) and type(loss).__module__.startswith("keras."):
        wrapped = getattr(loss, "fn", None)  # of a function, in keras.losses.LossFunctionWrapper
        plain = type(loss).__name__ == "LossFunctionWrapper"
        return (getattr(wrapped, "__name__", loss.name) if plain else type(loss).__name__).lower()
    named = loss if isinstance(loss, str) else getattr(loss, "name", None) or getattr(loss, "__name__", "")
    return str(named).lower()


def _is_binary(name) -> bool:
    return "binary" in name or name == "bce"


def answers(logits, task="classes"):
    """Returns what logits answer: the class's number; 0 or 1 for one logit, or for each label; values as they are.

    Args:
        logits: array or tensor, [batch, ..., n].
        task: one of TASKS.

    Returns:
        NumPy array, [batch, ...] of classes, [batch, ..., n] of labels and values.
    """
    logits = ops.convert_to_numpy(logits)
    if task == "values":
        return logits
    if task == "labels":
        return (logits > 0).astype(int)
    return (logits[..., 0] > 0).astype(int) if logits.shape[-1] == 1 else logits.argmax(-1)


def right_answers(y, shape, task="classes") -> np.ndarray:
    """Returns labels in the form of `answers`, checked.

    Args:
        y: of classes: class numbers [n], or one-hot or soft labels [n, classes]; 0 or 1 for one logit; for logits at
            each pixel or step, [n, ..., classes], likewise [n, ...]. Of labels: 0 and 1, [n, ..., labels]. Of values:
            numbers, [n, ..., values].
        shape: of the logits, [n, ..., classes].
        task: one of TASKS.

    Raises:
        ValueError: if labels have another shape or are not what the task has.
    """
    *places, count = shape
    if task == "classes" and count > 1 and len(places) == 1:
        return class_numbers(y, count, places[0])
    y = np.asarray(y)
    if len(y) != places[0]:
        raise ValueError(f"y must be {places[0]} labels, one per image, got {len(y)}; give those of the images.")
    if task == "classes" and count > 1:
        if y.shape == (*places, count):
            y = y.argmax(-1)
        elif y.shape not in (tuple(places), (*places, 1)):
            raise ValueError(
                f"labels must be class numbers [n, {', '.join(map(str, places[1:]))}], or one-hot with {count} classes "
                f"last, got shape {list(y.shape)}."
            )
        return class_numbers(y.reshape(-1), count).reshape(places)
    wanted = tuple(places) if task == "classes" else tuple(shape)
    if y.shape not in (wanted, tuple(shape), tuple(places)) or y.size != np.prod(wanted):
        kind = "numbers" if task == "values" else "0 or 1"
        raise ValueError(f"labels must be {kind}, [n, {', '.join(map(str, wanted[1:]))}], got shape {list(y.shape)}.")
    y = y.reshape(wanted)
    if task == "values":
        return y.astype(np.float32)
    if y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all():
        raise ValueError(
            f"labels of {'a binary classifier' if task == 'classes' else 'a multi-label task'} must be 0 or 1, got "
            "others, as of a regression or of more classes; give 0 and 1."
        )
    return y.astype(np.int64)


def check_targets(y, shape, task="classes") -> None:
    """Raises a ValueError if targets are not what a loss of the task takes.

    Args:
        y: of classes, see right_answers; of one logit or labels, numbers from 0 to 1, also smoothed ones; of values,
            finite numbers.
        shape: of the logits, [n, ..., classes].
        task: one of TASKS.
    """
    y = np.asarray(y)
    if task == "classes" and shape[-1] > 1:
        right_answers(y, shape, task)
        return
    if y.dtype.kind not in "biuf":
        raise ValueError(f"targets must be numbers, got {y.dtype}; encode them.")
    if y.shape not in (tuple(shape), tuple(shape[:-1])) or y.size != np.prod(shape):
        raise ValueError(f"targets must be [n, {', '.join(map(str, shape[1:]))}], got shape {list(y.shape)}.")
    low, high = float(np.min(y, initial=0)), float(np.max(y, initial=0))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("targets must be finite numbers, got NaN or infinity; leave such examples out.")
    if task != "values" and not (low >= 0 and high <= 1):
        raise ValueError(
            f"targets of a binary cross entropy lie in 0 to 1, got {low:g} to {high:g}, as of a regression or of more "
            "classes; give 0 and 1, or a network of one logit for each class."
        )


def share_right(found, wanted):
    """Returns the share of each image's answers that are right, float array [n]: 0 or 1 where it has one answer.

    Args:
        found: of `answers`.
        wanted: of `right_answers`; the shape of found, or one that broadcasts to it.
    """
    same = np.asarray(found) == wanted
    return same.reshape(len(same), -1).mean(axis=1)


def batch_share_right(y, logits, task="classes"):
    """Returns share_right of a batch as a tensor, float32 [batch], inside a training step.

    Args:
        y: labels as in right_answers, not checked.
        logits: float tensor, [batch, ..., n].
        task: 'classes' or 'labels'.

    Raises:
        ValueError: if the task is of values, which are not right or wrong, or labels have another shape.
    """
    if task == "values":
        raise ValueError(
            "the answers of a regression are neither right nor wrong; take a method that needs no right answers, such "
            "as ActivationGating or IMTA."
        )
    y = ops.convert_to_tensor(y)
    shapes = [tuple(logits.shape)]  # that labels may have
    if task == "classes":
        shapes += [tuple(logits.shape[:-1]), (*logits.shape[:-1], 1)]
    if tuple(y.shape[1:]) not in [shape[1:] for shape in shapes]:
        listed = " or ".join(str(["batch", *shape[1:]]).replace("'", "") for shape in shapes)
        raise ValueError(f"labels must have the shape {listed}, got {list(y.shape)}.")
    if task == "labels" or logits.shape[-1] == 1:
        same = (logits > 0) == (ops.reshape(ops.cast(y, "float32"), ops.shape(logits)) > 0.5)
    else:
        found = ops.argmax(logits, axis=-1)
        soft = len(y.shape) == len(logits.shape) and y.shape[-1] == logits.shape[-1]
        wanted = ops.argmax(y, axis=-1) if soft else ops.reshape(y, ops.shape(found))
        same = found == ops.cast(wanted, found.dtype)
    same = ops.cast(same, "float32")
    return ops.mean(same, axis=tuple(range(1, len(same.shape)))) if len(same.shape) > 1 else same


def batch_losses(y, logits, task="classes"):
    """Returns the cross entropy of each image's answers, or the squared error of values, float32 [batch].

    Args:
        y: labels as in right_answers, not checked; soft ones too.
        logits: float tensor, [batch, ..., n].
        task: one of TASKS.
    """
    y, logits = ops.convert_to_tensor(y), ops.cast(logits, "float32")
    if task == "classes" and logits.shape[-1] > 1:
        if len(y.shape) == len(logits.shape) and y.shape[-1] == logits.shape[-1]:
            each = ops.categorical_crossentropy(ops.cast(y, "float32"), logits, from_logits=True)
        else:
            numbers = ops.reshape(ops.cast(y, "int32"), ops.shape(logits)[:-1])
            each = ops.sparse_categorical_crossentropy(numbers, logits, from_logits=True)
    else:
        y = ops.reshape(ops.cast(y, "float32"), ops.shape(logits))
        each = ops.square(y - logits) if task == "values" else ops.binary_crossentropy(y, logits, from_logits=True)
    return ops.mean(each, axis=tuple(range(1, len(each.shape)))) if len(each.shape) > 1 else each


def divergence(student, teacher, temperature, task="classes"):
    """Returns the divergence of a student's answers from a teacher's, a tensor [batch].

    KL(teacher || student) of the softmax, of each label's sigmoid, or the squared difference of values; the mean over
    labels, values, pixels and steps.

    Args:
        student: float tensor, [batch, ..., n].
        teacher: float tensor of the same shape.
        temperature: divides both logits; values have none.
        task: one of TASKS.
    """
    student, teacher = ops.cast(student, "float32"), ops.cast(teacher, "float32")
    if task == "values":
        each = ops.square(teacher - student)
    else:
        if task == "labels" or student.shape[-1] == 1:
            student, teacher = (ops.stack([ops.zeros_like(z), z], axis=-1) for z in (student, teacher))
        teacher = ops.log_softmax(teacher / temperature, axis=-1)
        student = ops.log_softmax(student / temperature, axis=-1)
        each = ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
    return ops.mean(each, axis=tuple(range(1, len(each.shape)))) if len(each.shape) > 1 else each
