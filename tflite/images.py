"""Images by what the user calls them, in the form that a model takes; the flags --input_mean and --input_std."""

from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

SHIPPED = "shipped"
HELD_OUT = "a folder of held-out images, best with a folder for each class, or an .npz with images x and labels y"
TEST = "a folder with a folder of test images for each class, or an .npz with images x and labels y"

_MEAN = flags.DEFINE_float(
    "input_mean", 0.0, "image files are given to the model as (pixel - input_mean) / input_std, pixels from 0 to 255"
)
_STD = flags.DEFINE_float(
    "input_std", 1.0, "see input_mean: 1 for a model that normalises pixels itself, 255 for one that takes 0 to 1"
)


class Images(NamedTuple):
    """Images of a model's size.

    Attributes:
        x: array [n, height, width, channels].
        y: labels [n], or None.
        class_names: of class folders, or of the images that ship; () if there are none.
        were_pixels: whether they were read as pixels from 0 to 255, and normalised as the flags say.
    """

    x: Any = None
    y: Any = None
    class_names: tuple[str, ...] = ()
    were_pixels: bool = False


def normalization() -> tuple[float, float]:
    """Returns (mean, std), as the flags give them.

    Raises:
        ValueError: if std is not positive.
    """
    if not _STD.value > 0:
        raise ValueError(f"--input_std must be over 0, got {_STD.value:g}; 1 leaves pixels as they are.")
    return _MEAN.value, _STD.value


def known_normalization(images: Images, normalizes: bool) -> tuple[float, float] | None:
    """Returns (mean, std) of what a model takes; None where neither a flag nor images tell.

    Args:
        images: that the model takes.
        normalizes: whether the model normalises pixel values itself.

    Raises:
        ValueError: if the model does not, and no flag says what pixels of image files mean to it.
    """
    found, said = normalization(), _MEAN.present or _STD.present
    if images.were_pixels and not said and not normalizes:
        raise ValueError(
            "the model does not normalise pixel values itself, so say what it was trained on, (pixel - mean) / std: "
            "--input_mean=0 --input_std=255 for 0 to 1, 127.5 and 127.5 for -1 to 1, 0 and 1 for pixel values."
        )
    return found if images.were_pixels or said else None


def normalised(pixels, mean_and_std):
    """Returns pixels as a model takes them: (pixels - mean) / std, float32; unchanged for None and (0, 1).

    Args:
        pixels: [..., channels].
        mean_and_std: (mean, std), each a number or one for each channel; or None.
    """
    import numpy as np

    mean, std = (np.asarray(number, np.float32) for number in mean_and_std or (0, 1))
    return pixels if not mean.any() and (std == 1).all() else (np.asarray(pixels, np.float32) - mean) / std


def chosen(flag: str, given: str | None, models: list[str], needed_for: str | None, wanted=HELD_OUT) -> str | None:
    """Returns which images a flag means: those it names, or without a name those that ship, for networks of the zoo.

    Args:
        flag: its name.
        given: its value.
        models: .keras files or zoo:NAME.
        needed_for: what needs them; None if they may be missing.
        wanted: what to give.

    Raises:
        ValueError: if they are needed, not named, and some model is not from the zoo, or a file is of another type.
        FileNotFoundError: if there is no such file or folder.
    """
    if given is None:
        own = [spec for spec in models if not spec.startswith("zoo:")]
        if own and needed_for is not None:
            raise ValueError(
                f"{needed_for} needs images like those that {own[0]} was trained on, got none; give --{flag} {wanted}."
            )
        return SHIPPED if needed_for is not None else None
    if given != SHIPPED and not Path(given).exists():
        raise FileNotFoundError(f"--{flag} must name images, got {given!r}, which does not exist; give {wanted}.")
    if given != SHIPPED and Path(given).is_file() and Path(given).suffix not in (".npy", ".npz"):
        raise ValueError(f"--{flag} must name images, got {given!r}, which is no folder, .npy or .npz; give {wanted}.")
    return given


def read_images(spec: str, shape, part: str = "heldout") -> Images:
    """Reads images; files, and those that ship, are normalised as the flags say, arrays are taken as they are.

    Args:
        spec: 'shipped', or the path of a folder, an .npy or an .npz file.
        shape: (height, width, channels) of the model's images.
        part: of the images that ship, 'heldout' or 'test'.

    Raises:
        ValueError: if a file is broken, or the file or folder holds something else.
    """
    from keras_dynamic import data
    from keras_dynamic.files import read_arrays

    if spec == SHIPPED:
        found = data.shipped()
        x, y = (found.x_test, found.y_test) if part == "test" else (found.x_heldout, found.y_heldout)
        return Images(normalised(x, normalization()), y, found.class_names, True)
    if Path(spec).is_dir():
        x, y, class_names = data.read_folder(spec, shape)
        return Images(normalised(x, normalization()), y, class_names, True)
    arrays = read_arrays(spec, of_npy="x")
    if "x" not in arrays:
        raise ValueError(f"{spec} must hold images x and, for a cascade, labels y, got {sorted(arrays)}; rename them.")
    for name in ("x", "y"):
        if name in arrays and arrays[name].dtype.kind not in "biuf":
            raise ValueError(f"{spec} must hold numbers, got {name} of {arrays[name].dtype}; convert it.")
    return Images(arrays["x"], arrays.get("y"))


def check_classes(flag: str, spec: str, images: Images, model):
    """Raises a ValueError if images that come in classes, on which thresholds or figures depend, come in other ones.

    Args:
        flag: that names the images.
        spec: its value.
        images: what read_images returned.
        model: built DynamicModel.
    """
    wanted, found = max(model.classes, 2), images.class_names
    if found and len(found) != wanted:
        shown = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
        raise ValueError(
            f"--{flag} must show the model's {wanted} classes, got {len(found)} in {spec!r} ({shown}); give a folder "
            "with a folder of images for each of them, or an .npz with images x and labels y."
        )
