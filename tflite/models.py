"""What the scripts read: models and images by what the user calls them."""

import importlib
import re
import sys
import zipfile
from pathlib import Path


def check_models(specs: list[str]):
    """Looks at the files of models, before anything slow begins.

    Args:
        specs: paths of .keras files, or zoo:NAME.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is no whole .keras file.
    """
    for spec in specs:
        if spec.startswith("zoo:"):
            continue
        if not Path(spec).is_file():
            raise FileNotFoundError(f"--model must name .keras files or zoo:NAME, got {spec!r}, which is no file.")
        if not zipfile.is_zipfile(spec):
            raise ValueError(f"{spec} is no whole .keras file, as model.save(...) writes it; save or copy it again.")


def import_own(modules: list[str]):
    """Imports modules that define layers of the user's own; they lie where the command is given, not beside a script.

    Args:
        modules: their names.
    """
    sys.path.insert(0, "")
    for module in modules:
        importlib.import_module(module)


def check_images(spec: str):
    """Raises a FileNotFoundError if held-out images are neither 'shipped' nor a file.

    Args:
        spec: as read_images takes it.
    """
    if spec != "shipped" and not Path(spec).is_file():
        raise FileNotFoundError(f"--calibration must be 'shipped', an .npy or an .npz, got {spec!r}, which is no file.")


def check_classes(spec: str, model):
    """Raises a ValueError if a model's thresholds would be fitted on the shipped images, which show other classes.

    Args:
        spec: of the held-out images, as read_images takes it.
        model: built DynamicModel.
    """
    from keras_dynamic import data

    classes = model.chain.logits_specs[-1].shape[-1]
    if spec == "shipped" and classes != len(data.shipped().class_names):
        raise ValueError(
            f"thresholds need held-out images of the model's {classes} classes, and those that ship are CIFAR-10's; "
            "give --calibration."
        )


def load(spec: str):
    """Loads a model.

    Args:
        spec: path of a .keras file, or zoo:NAME.

    Returns:
        keras.Model.

    Raises:
        ValueError: if the zoo lacks the name, or the file is no Keras model or holds unknown classes.
    """
    import keras

    from keras_dynamic import zoo

    if spec.startswith("zoo:"):
        return zoo.load(spec.removeprefix("zoo:"))
    try:
        return keras.models.load_model(spec, compile=False)
    except (TypeError, KeyError, ValueError) as error:
        unknown = re.search(r"Could not locate (?:class|function) '(\w+)'", str(error))
        if unknown:
            raise ValueError(
                f"{spec} holds a {unknown[1]}, which is not imported; name its module: --imports=MODULE, and let the "
                "module register the class with keras.saving and, for its MACs, with keras_dynamic.cost."
            ) from error
        raise ValueError(f"{spec} cannot be loaded as a Keras model: {str(error).splitlines()[0][:300]}") from error


def plain_counterpart(model, network: dict) -> str | None:
    """Returns the zoo's plain network that a dynamic one of the zoo is held against; None if it is none but itself.

    Args:
        model: DynamicModel of the zoo; one with exits is held against itself with everything on.
        network: what zoo.describe says of its network.
    """
    return None if model.chain.exit_names else f"zoo:resnet{network['depth']}_cifar10_45k"


def read_images(spec: str):
    """Reads held-out images.

    Args:
        spec: 'shipped', or the path of an .npy or .npz file.

    Returns:
        (images [n, height, width, channels], labels [n] or None).

    Raises:
        ValueError: if the file is broken or holds something else.
    """
    import numpy as np

    from keras_dynamic import data

    if spec == "shipped":
        shipped = data.shipped()
        return shipped.x_heldout, shipped.y_heldout
    try:
        content = np.load(spec, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content, None
        with content:
            arrays = {name: content[name] for name in content.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{spec} is no whole .npy or .npz of plain arrays ({error}); write it with numpy.savez."
        ) from error
    if "x" not in arrays:
        raise ValueError(f"{spec} must hold images x and, for a cascade, labels y, got {sorted(arrays)}; rename them.")
    return arrays["x"], arrays.get("y")
