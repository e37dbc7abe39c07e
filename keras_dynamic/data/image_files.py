"""Lists the image files of a folder and reads them as arrays."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def image_files(folder) -> list[Path]:
    """Returns the files of a folder in order of their names, without hidden files and folders.

    Args:
        folder: path of the folder.

    Raises:
        NotADirectoryError: if there is no such folder.
        ValueError: if it holds no files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"expected a folder of image files, got {str(folder)!r}, which is no folder.")
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
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
        ValueError: if the file is missing or no whole image.
    """
    height, width, channels = shape
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"expected 8 bits per channel, got mode {image.mode}; convert it")
            image = image.convert("L" if channels == 1 else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot read image {path}, so it is left out: {reason}.") from error
    note = ""
    if image.size != (width, height):
        note = f"resized from {image.width}x{image.height} to {width}x{height}"
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(height, width, channels), note
