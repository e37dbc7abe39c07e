"""Models by what the user calls them: .keras files, .tflite files of plain networks, and zoo:NAME."""

import importlib
import re
import sys
import zipfile
from pathlib import Path


def check_models(specs: list[str]):
    """Looks at the files of models, before anything slow begins.

    Args:
        specs: paths of .keras or .tflite files, or zoo:NAME.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is no whole .keras file.
    """
    for spec in specs:
        if spec.startswith("zoo:"):
            continue
        if not Path(spec).is_file():
            raise FileNotFoundError(
                f"--model must name .keras or .tflite files or zoo:NAME, got {spec!r}, which is no file."
            )
        if not _is_tflite(spec) and not zipfile.is_zipfile(spec):
            raise ValueError(f"{spec} is no whole .keras file, as model.save(...) writes it; save or copy it again.")


def import_own(modules: list[str]):
    """Imports modules that define layers of the user's own; they lie where the command is given, not beside a script.

    Args:
        modules: their names.
    """
    sys.path.insert(0, "")
    for module in modules:
        importlib.import_module(module)


def _is_tflite(spec: str) -> bool:
    return Path(spec).suffix == ".tflite"


def static_file(spec: str, quantize=None, calibration=None) -> bytes:
    """Returns the .tflite of a static network that a dynamic one is compared with.

    Args:
        spec: path of a .tflite, from whatever tool, which is taken as it is; or as of load, for export.
        quantize: of export.
        calibration: of export.

    Raises:
        ValueError: if the file is no .tflite of a plain network, or the model cannot be loaded or exported.
    """
    from keras_dynamic import lite

    if not _is_tflite(spec):
        return lite.export(load(spec), quantize, calibration)
    return _read(spec, lite.adopt)


def _read(spec, read):
    """Returns what a function makes of a file's bytes; its errors name the file."""
    try:
        return read(Path(spec).read_bytes())
    except ValueError as error:
        raise ValueError(f"{spec}: {error}") from error


def load(spec: str):
    """Loads a model.

    Args:
        spec: path of a .keras file, or of a .tflite of a plain network, from whatever tool, or zoo:NAME.

    Returns:
        keras.Model.

    Raises:
        ValueError: if the zoo lacks the name, or the file is no Keras model, holds unknown classes, or is a .tflite
            that has no counterpart in Keras.
    """
    import keras

    from keras_dynamic import lite, zoo

    if spec.startswith("zoo:"):
        return zoo.load(spec.removeprefix("zoo:"))
    if _is_tflite(spec):
        name = re.sub(r"\W", "_", Path(spec).stem)
        return _read(spec, lambda content: lite.to_keras(content, name))
    try:
        return keras.models.load_model(spec, compile=False)
    except (TypeError, KeyError, ValueError, zipfile.BadZipFile) as error:
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
