"""Models by what the user calls them: .keras files, and zoo:NAME."""

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
