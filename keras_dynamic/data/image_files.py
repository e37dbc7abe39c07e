"""Lists the image files of a folder and reads them as arrays."""

import io
import os
import stat
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def image_files(folder) -> list[Path]:
    """Returns the files of a folder in order of their names, without hidden files and folders.

    What is no file to read, such as a pipe or a link to nothing, is among them, and read_image says so.

    Args:
        folder: path of the folder.

    Raises:
        NotADirectoryError: if there is no such folder.
        ValueError: if it holds no files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"expected a folder of image files, got {str(folder)!r}, which is no folder.")
    found = sorted(path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith("."))
    if not found:
        raise ValueError(f"expected a folder of image files, got {str(folder)!r}, which holds none; put images there.")
    return found


def read_image(path, shape) -> tuple[np.ndarray, str]:
    """Reads an image file in the size and channels of a network's input.

    Args:
        path: a file that Pillow reads, 8 bits per channel.
        shape: (height, width, channels) of the network's images, 1 or 3 channels.

    Returns:
        (uint8 [height, width, channels], a note if the image was resized, else '').

    Raises:
        ValueError: if the file is missing, no whole image, or so large that it would fill the memory.
    """
    try:
        mode = os.stat(path).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening or reading it may never return
            raise ValueError("it is a pipe, a socket or a device")
        return _pixels(path, shape)
    except _UNREADABLE as error:
        raise ValueError(f"cannot read image {path}, so it is left out: {_reason(error)}.") from error


def decode_image(content: bytes, shape) -> np.ndarray:
    """Returns the pixels of a PNG or JPEG file in the size and channels of a network's input.

    Args:
        content: the file's bytes, 8 bits per channel.
        shape: (height, width, channels) of the network's images, 1 or 3 channels.

    Returns:
        uint8 [height, width, channels]; resized if the image has another size.

    Raises:
        ValueError: if the bytes are no whole PNG or JPEG file.
    """
    try:
        return _pixels(io.BytesIO(content), shape, ("PNG", "JPEG"))[0]
    except UnidentifiedImageError as error:
        raise ValueError("expected a PNG or JPEG file, got other bytes.") from error
    except _UNREADABLE as error:
        raise ValueError(f"expected a whole PNG or JPEG file, got a broken one: {_reason(error)}.") from error


_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def _reason(error):
    return getattr(error, "strerror", None) or error


def _pixels(file, shape, formats=None):
    """Returns what read_image returns, of a path or an open file, or raises one of _UNREADABLE."""
    height, width, channels = shape
    with Image.open(file, formats=formats) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"expected 8 bits per channel, got mode {image.mode}; convert it")
        image = image.convert("L" if channels == 1 else "RGB")
    note = ""
    if image.size != (width, height):
        note = f"resized from {image.width}x{image.height} to {width}x{height}"
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(height, width, channels), note


class ImageFolder(NamedTuple):
    """The images of a folder.

    Attributes:
        images: uint8 [n, height, width, channels], 0 to 255.
        labels: int32 [n], index into class_names; None for a folder without class folders.
        class_names: the names of the class folders, sorted; () if there are none.
    """

    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]


def read_folder(folder, shape) -> ImageFolder:
    """Reads all images of a folder, in the size and channels of a network's input.

    The folder holds image files, or a folder of image files for each class. Classes are numbered in the sorted order of
    the folders' names, as keras.utils.image_dataset_from_directory does. Hidden files and folders are ignored. Images
    of another size are resized.

    Args:
        folder: path of the folder.
        shape: (height, width, channels) of the network's images, 1 or 3 channels.

    Returns:
        ImageFolder: images uint8 [n, height, width, channels], labels int32 [n] or None, class_names.

    Raises:
        NotADirectoryError: if there is no such folder.
        ValueError: if the shape has other than 1 or 3 channels, the folder holds no images, a single class folder, or
            images beside class folders, a class folder holds no images or further folders, or a file cannot be read.
    """
    if len(shape) != 3 or None in shape or shape[-1] not in (1, 3):
        raise ValueError(
            f"expected a shape (height, width, channels) with 1 or 3 channels, as image files have, got "
            f"{tuple(shape)}; give a model that takes other inputs an array."
        )
    files, labels, class_names = files_by_class(folder)
    images = np.empty((len(files), *shape), np.uint8)
    for number, path in enumerate(files):
        try:
            images[number], _ = _pixels(path, shape)
        except _UNREADABLE as error:
            raise ValueError(
                f"expected image files, got {str(path)!r}, which cannot be read ({_reason(error)}); repair it, or take "
                "it out of the folder."
            ) from error
    return ImageFolder(images, np.array(labels, np.int32) if class_names else None, class_names)


def files_by_class(folder) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Returns (files of a folder, the class of each, the classes' names), or (files, [], ()) without class folders.

    Args:
        folder: as read_folder takes it; raises as read_folder, but looks into no file.
    """
    folder = Path(folder)
    classes = _folders(folder) if folder.is_dir() else []
    if not classes:
        return image_files(folder), [], ()
    beside = next((path.name for path in folder.iterdir() if not path.is_dir() and not path.name.startswith(".")), None)
    if beside is not None:
        raise ValueError(
            f"expected image files or class folders in {str(folder)!r}, got both, the file {beside!r} beside the "
            f"folder {classes[0].name!r}; move the files into the folders of their classes."
        )
    if len(classes) == 1:
        raise ValueError(
            f"expected image files or a folder for each of several classes in {str(folder)!r}, got the one folder "
            f"{classes[0].name!r}; name that one, or add the other classes."
        )
    files, labels = [], []
    for label, each in enumerate(classes):
        inner = _folders(each)
        if inner:
            raise ValueError(
                f"expected image files in the class folder {str(each)!r}, got the folder {inner[0].name!r}; name "
                "the folder that holds the class folders, or move the images up."
            )
        found = image_files(each)
        files += found
        labels += [label] * len(found)
    return files, labels, tuple(path.name for path in classes)


def _folders(folder):
    """Returns the folders in a folder in order of their names, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
