"""Makes the image set that comes with the package from the whole of CIFAR-10.

    python -m keras_dynamic.experiments.make_shipped --npz cifar10.npz

The .npz file holds CIFAR-10 in its original order (x_train, y_train, x_test, y_test, class_names; uint8 images). What
is written is lossless and checked against the pixels it came from. It takes about a minute.
"""

import argparse
import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image

from keras_dynamic.data.datasets import load_arrays
from keras_dynamic.data.shipped import FOLDER, PARTS, Shipped, read_sheet, sheet_file, to_sheet
from keras_dynamic.files import write_bytes

DIGESTS = {
    "gates": "cba032e62e8689722a3eb70cabe45c404df9e6e7d1112b06a7f005860d1dc7b3",
    "heldout": "88d03f17d14d1b16ecc9e69ab775cf5acd880b95a0f50261990782a6129a4080",
    "test": "5db5d7189a9e81af924f15a519a7aaba92b739cbe846889db59803d8d47a9620",
}
"""SHA-256 of each part's pixels followed by its labels, in the original order."""


def main() -> None:
    """Reads the arguments and writes the sheets and the labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npz", required=True, metavar="FILE", help="CIFAR-10 as arrays, in its original order")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="FOLDER", help="default: %(default)s")
    arguments = parser.parse_args()
    parts = cut(arguments.npz)
    for part in PARTS:
        if digest(parts, part) != DIGESTS[part]:
            raise ValueError(
                f"Expected CIFAR-10 in the order of its original files, got other images or labels in {arguments.npz} "
                f"(part {part!r}); convert the original files without shuffling."
            )
    for path in write(parts, arguments.out):
        print(f"{path}  {path.stat().st_size:,} bytes")


def cut(npz) -> Shipped:
    """Returns x_train[45000:48500], x_train[48500:49000] and x_test[:1000], with labels, of CIFAR-10's .npz file."""
    x_train, y_train, x_test, y_test, class_names = load_arrays(npz)
    gates, heldout, test = slice(45000, 48500), slice(48500, 49000), slice(1000)
    return Shipped(
        x_train[gates], y_train[gates], x_train[heldout], y_train[heldout], x_test[test], y_test[test], class_names
    )


def digest(parts: Shipped, part: str) -> str:
    """Returns the SHA-256, in hexadecimal, of one part's pixels followed by the labels as little-endian int32."""
    images, labels = getattr(parts, f"x_{part}"), getattr(parts, f"y_{part}")
    return hashlib.sha256(images.tobytes() + labels.astype("<i4").tobytes()).hexdigest()


def write(parts: Shipped, folder: Path) -> list[Path]:
    """Writes one lossless WebP sheet per part, and the labels, into a folder.

    Returns:
        The files.

    Raises:
        RuntimeError: A sheet does not read back as the pixels it was made of.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for part in PARTS:
        images = getattr(parts, f"x_{part}")
        picture = io.BytesIO()
        Image.fromarray(to_sheet(images)).save(picture, "WEBP", lossless=True, quality=100, method=6, exact=True)
        files.append(write_bytes(sheet_file(folder, part), picture.getvalue()))
        if not np.array_equal(read_sheet(files[-1]), images):
            raise RuntimeError(f"Expected {files[-1]} to be lossless, got other pixels; use another version of Pillow.")
    labels = io.BytesIO()
    y = {part: getattr(parts, f"y_{part}").astype(np.uint8) for part in PARTS}
    np.savez_compressed(labels, class_names=np.array(parts.class_names), **y)
    return [*files, write_bytes(folder / "labels.npz", labels.getvalue())]


if __name__ == "__main__":
    main()
