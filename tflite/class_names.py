"""What the scripts call a model's classes: the flags --labels and --cifar10."""

from pathlib import Path

from absl import flags

_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_LABELS = flags.DEFINE_string("labels", None, "text file of class names, one a line, in the order of the classes")
_IS_CIFAR10 = flags.DEFINE_bool("cifar10", False, "the classes are CIFAR-10's")


def class_names(count: int) -> list[str]:
    """Returns the names of the model's classes, as the flags tell.

    Args:
        count: number of classes.

    Returns:
        `count` names; 'class 0', 'class 1', ... if no flag tells them.

    Raises:
        ValueError: if there are more or fewer names than classes.
        FileNotFoundError: if the file of names is missing.
    """
    if _LABELS.value is not None:
        source = _LABELS.value
        if not Path(source).is_file():
            raise FileNotFoundError(f"--labels must name a text file of class names, got {source!r}, which is no file.")
        names = [line.strip() for line in Path(source).read_text(encoding="utf-8").splitlines() if line.strip()]
    elif _IS_CIFAR10.value:
        source, names = "--cifar10", list(_CIFAR10)
    else:
        source, names = "", [f"class {index}" for index in range(count)]
    if len(names) != count:
        raise ValueError(f"the model has {count} classes, but {source} names {len(names)}; give one name for each.")
    return names
