"""What serve.py and serve_demo.py serve, and the held-out images for its thresholds.

The flags --model, --calibration and --imports; a script lists them in its help by flags.adopt_module_key_flags.
"""

from absl import flags
from budget import stopping
from images import check_classes, chosen, read_images
from models import check_models, import_own, load

_ZOO = ["zoo:resnet8_cifar10_45k", "zoo:resnet20_cifar10_45k", "zoo:resnet32_cifar10_45k"]

_MODEL = flags.DEFINE_list("model", _ZOO, "a .keras file or zoo:NAME; several, cheapest first, become a cascade")
_CALIBRATION = flags.DEFINE_string(
    "calibration",
    None,
    "held-out images for the thresholds: a folder of image files, one with a folder of them for each class, which a "
    "cascade needs, an .npy of images as the model takes them, an .npz with such images x and labels y, or 'shipped' "
    "(500 of CIFAR-10), the default for networks of the zoo",
)
_IMPORTS = flags.DEFINE_list("imports", [], "Python modules to import first: those that define layers of your own")


def model_names() -> list[str]:
    """Returns what --model names, once its files are there."""
    check_models(_MODEL.value)
    return _MODEL.value


def load_models(names) -> list:
    """Returns the Keras models of these names, once the user's own layers are imported.

    Args:
        names: of model_names.
    """
    import_own(_IMPORTS.value)
    return [load(name) for name in names]


def served_model(loaded):
    """Returns what is served: a cascade of several models; one with exits under thresholds, if it decides nothing.

    Args:
        loaded: Keras models, cheapest first.
    """
    from keras_dynamic import layers, models

    if len(loaded) > 1:
        return models.cascade(loaded)
    if not loaded or not isinstance(loaded[0], layers.DynamicModel):
        received = repr(loaded[0].name) if loaded else "none"
        raise ValueError(
            f"--model must be a cascade or a network that decides something, got {received}; name several models."
        )
    return stopping(loaded[0])


def macs_of(network) -> int:
    """Returns the MACs of a network that runs everything."""
    from keras_dynamic import cost

    return cost.tree(network).without_exits().total_macs


def calibration() -> str:
    """Returns which images --calibration means."""
    return chosen("calibration", _CALIBRATION.value, _MODEL.value, "a budget")


def held_out_images(model, spec):
    """Returns held-out images of a model's size and classes.

    Args:
        model: of served_model.
        spec: of calibration.
    """
    found = read_images(spec, tuple(model.image_shape[1:]))
    check_classes("calibration", spec, found, model)
    return found
