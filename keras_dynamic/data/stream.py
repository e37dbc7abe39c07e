"""Sets of photographs of any size, such as ImageNet, from a folder of TensorFlow Datasets."""

import os
from pathlib import Path
from typing import NamedTuple

from keras_dynamic.data.image_stream import ImageStream
from keras_dynamic.data.split import Pair
from keras_dynamic.data.tfds_folder import open_builder
from keras_dynamic.messages import is_count


class Streamed(NamedTuple):
    """A labelled image set of which only what is chosen and judged on is held in memory.

    Attributes:
        train: ImageStream.
        held_out: (uint8 [n, size, size, 3], int32 labels [n]), the last training images.
        test: likewise, for judging only.
        class_names: one name per class, in label order.
    """

    train: ImageStream
    held_out: Pair
    test: Pair
    class_names: tuple[str, ...]


def stream(
    name: str, data_dir: str | os.PathLike[str] | None = None, size: int = 224, held_out: int = 10_000
) -> Streamed:
    """Opens a prepared TFDS set whose images may be of any size; never downloads anything.

    Training images are read from the files anew in every epoch: a random crop of 8 to 100 % of the area, resized to
    the size and mirrored every second time (StreamBatches). The last `held_out` training images and those for judging,
    the split "test" or, where there is none or it has no labels, "validation", are read into memory at once: the
    shorter side resized to 256/224 of the size, then the middle of it. ImageNet's 50,000 take 7.5 GB at 224 pixels.

    Args:
        name: the TFDS name, such as "imagenet2012"; a configuration follows a slash.
        data_dir: the folder that holds the set's own folder; None means the usual folder of TFDS,
            ~/tensorflow_datasets.
        size: side of the images in pixels.
        held_out: images, 1 to those of the training split minus 1.

    Returns:
        Streamed.

    Raises:
        ValueError: The set is not one of images with a class label each, lacks a split, or size or held_out is out of
            range.
        FileNotFoundError: data_dir does not hold the set, or only in part.
        ImportError: tensorflow-datasets, or what it needs, is not installed.

    Source: Herrmann et al., section 4.1.
    """
    folder = Path("~/tensorflow_datasets" if data_dir is None else data_dir).expanduser()
    base = name.split("/")[0].split(":")[0]
    if not is_count(size):
        raise ValueError(
            f"Expected size to be the side of the images in pixels, got {size!r}; ImageNet's usual is 224."
        )
    if not base or not (folder / base).is_dir():
        raise FileNotFoundError(
            f"Expected a TFDS folder {base}/ in {folder}, got none; make it with `tfds.load({name!r}, data_dir=...)` "
            f"where there is a network, or pass the data_dir that has it."
        )
    builder, judged = open_builder(name, folder)
    count = builder.info.splits["train"].num_examples
    if not 1 <= held_out <= count - 1:
        raise ValueError(
            f"Expected held_out to be between 1 and {count - 1}, so that some of the {count} images remain, got "
            f"{held_out}."
        )
    kept = count - held_out
    return Streamed(
        ImageStream(builder, f"train[:{kept}]", kept, size),
        ImageStream(builder, f"train[{kept}:]", held_out, size).arrays(),
        ImageStream(builder, judged, builder.info.splits[judged].num_examples, size).arrays(),
        tuple(builder.info.features["label"].names),
    )
