"""What the scripts call a model's classes: the flags --labels and --cifar10, and what is known without them."""

from pathlib import Path

from absl import flags

_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_LABELS = flags.DEFINE_string("labels", None, "text file of class names, one a line, in the order of the classes")
_IS_CIFAR10 = flags.DEFINE_bool("cifar10", False, "the classes are CIFAR-10's")


def class_names(classes: int, known=None) -> list[str]:
    """Returns the names of the model's classes; 'class 0', 'class 1', ... if nothing tells them.

    Args:
        classes: number of logits; one is that of two classes.
        known: names that are taken if no flag tells others; None for none.

    Raises:
        ValueError: if there are more or fewer names than classes.
        FileNotFoundError: if the file of names is missing.
    """
    return given_names(classes, known) or [f"class {index}" for index in range(max(classes, 2))]


def given_names(classes: int, known=None) -> list[str] | None:
    """Returns as class_names, but None if nothing tells the names."""
    count = max(classes, 2)
    if _LABELS.value is not None:
        source = _LABELS.value
        if not Path(source).is_file():
            raise FileNotFoundError(f"--labels must name a text file of class names, got {source!r}, which is no file.")
        names = [line.strip() for line in Path(source).read_text(encoding="utf-8").splitlines() if line.strip()]
    elif _IS_CIFAR10.value:
        source, names = "--cifar10", list(_CIFAR10)
    else:
        return list(known) if known else None
    if len(names) != count:
        raise ValueError(f"the model has {count} classes, but {source} names {len(names)}; give one name for each.")
    return names


def known_names(classes: int, models: list[str], folder=()) -> tuple[str, ...] | None:
    """Returns the names that can be known without a flag, or None.

    Args:
        classes: number of logits.
        models: .keras files or zoo:NAME; networks of the zoo for CIFAR-10 have its classes.
        folder: names of the class folders of the model's images, which are taken if there is one for each class.
    """
    from keras_dynamic import zoo

    of_zoo = [zoo.describe(spec.removeprefix("zoo:"))["data"] for spec in models if spec.startswith("zoo:")]
    if of_zoo and len(of_zoo) == len(models) and all(data.startswith("cifar10,") for data in of_zoo):
        return _CIFAR10
    return tuple(folder) if len(folder) == max(classes, 2) else None
