"""Photographs of any size, read from a TFDS folder and cropped epoch by epoch."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.data.datasets import Pair, open_builder
from keras_dynamic.messages import is_count

# For evaluation, images are resized to 256 pixels, of which the middle 224 are taken.
RESIZED_OVER_CROP = 256 / 224

_AREA, _ASPECT, _ATTEMPTS = (0.08, 1.0), (3 / 4, 4 / 3), 100


def random_resized_crop(image: Any, size: int, seed: Any) -> Any:
    """Returns a random window of an image, resized and, with probability one half, mirrored: for training.

    The window has 8 to 100 % of the image's area and an aspect ratio of 3/4 to 4/3.

    Args:
        image: uint8 tensor [height, width, 3].
        size: side of the result in pixels.
        seed: int tensor [2]; the same seed gives the same window.

    Returns:
        uint8 tensor [size, size, 3].

    Source: Szegedy et al., Going Deeper with Convolutions (arXiv 1409.4842), section 6; Herrmann et al., section 4.1.
    """
    import tensorflow as tf

    window, mirror = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    start, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=window,
        min_object_covered=0.0,
        aspect_ratio_range=_ASPECT,
        area_range=_AREA,
        max_attempts=_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    resized = _resize(tf.slice(image, start, extent), size, size)
    return tf.ensure_shape(tf.image.stateless_random_flip_left_right(resized, mirror), (size, size, 3))


def centre_crop(image: Any, size: int) -> Any:
    """Resizes an image's shorter side to 256/224 of the size and takes the middle: for evaluation.

    The paper has images "rescaled to 256x256", which would distort them; the validation it refers to is of the shorter
    side.

    Args:
        image: uint8 tensor [height, width, 3].
        size: side of the result in pixels.

    Returns:
        uint8 tensor [size, size, 3].

    Source: Herrmann et al., section 4.1.
    """
    import tensorflow as tf

    height, width = tf.shape(image)[0], tf.shape(image)[1]
    shorter = round(size * RESIZED_OVER_CROP)
    scale = shorter / tf.minimum(height, width)
    taller, wider = (tf.cast(tf.round(scale * tf.cast(side, scale.dtype)), tf.int32) for side in (height, width))
    resized = _resize(image, taller, wider)
    top, left = (taller - size) // 2, (wider - size) // 2
    return tf.ensure_shape(resized[top : top + size, left : left + size], (size, size, 3))


def _resize(image: Any, height: Any, width: Any) -> Any:
    """Returns the image resized bilinearly, as uint8."""
    import tensorflow as tf

    resized = tf.image.resize(image, (height, width), "bilinear")
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)


_BUFFER = 10_000  # compressed images in the shuffle buffer, about a gigabyte of ImageNet


class ImageStream:
    """A split of a TFDS set, read from files and cropped to one size; StreamBatches serves it to fit.

    Args:
        builder: prepared TFDS builder of a set with the features image and label.
        split: in TFDS' notation, such as 'train[:1271167]'.
        count: images in it.
        size: side of the crops in pixels.
    """

    def __init__(self, builder: Any, split: str, count: int, size: int) -> None:
        self.builder, self.split, self.count, self.size = builder, split, count, size

    def __len__(self) -> int:
        """Number of images."""
        return self.count

    def shuffled(self, seed: int, augment: bool = True) -> Any:
        """Returns the images in a random order: files are shuffled, then images in a buffer of 10,000.

        Args:
            seed: of order and crops.
            augment: True for random crops, False for centre crops.

        Returns:
            tf.data.Dataset of (uint8 [size, size, 3], int32 label).
        """
        examples = self._examples(shuffle_seed=seed).shuffle(min(_BUFFER, self.count), seed=seed)
        return self._cropped(examples, seed if augment else None)

    def arrays(self, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Reads centre crops of images into memory, in TFDS' own order.

        Args:
            count: of the first images; None for all.

        Returns:
            (uint8 [count, size, size, 3], int32 labels [count]).
        """
        count = self.count if count is None else min(count, self.count)
        images, labels = np.empty((count, self.size, self.size, 3), np.uint8), np.empty(count, np.int32)
        read = self._cropped(self._examples().take(count))
        for number, (image, label) in enumerate(read.as_numpy_iterator()):
            images[number], labels[number] = image, label
        return images, labels

    def _cropped(self, examples: Any, seed: int | None = None) -> Any:
        """Returns (crop, label) of examples in their order, made on all cores; random crops if there is a seed."""
        import tensorflow as tf

        def prepare(number: Any, example: Any) -> Any:
            image = tf.io.decode_image(example["image"], channels=3, expand_animations=False)
            if seed is None:
                crop = centre_crop(image, self.size)
            else:
                crop = random_resized_crop(image, self.size, tf.stack([seed, number]))
            return crop, tf.cast(example["label"], tf.int32)

        return examples.enumerate().map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def _examples(self, shuffle_seed: int | None = None) -> Any:
        """Returns a tf.data.Dataset of {'image': compressed, 'label': label}."""
        import tensorflow_datasets as tfds

        examples = self.builder.as_dataset(
            split=self.split,
            shuffle_files=shuffle_seed is not None,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(shuffle_seed=shuffle_seed, try_autocache=False, enable_ordering_guard=False),
        )
        return examples.map(lambda example: {key: example[key] for key in ("image", "label")})


class Streamed(NamedTuple):
    """A labelled image set with held-out and test images in memory and training images in files.

    Attributes:
        train: ImageStream.
        held_out: (uint8 [n, size, size, 3], int32 labels [n]), the last training images.
        test: likewise, for evaluation only.
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

    Training images are read from the files in every epoch, with random crops (random_resized_crop). The last
    `held_out` training images and the test images, the split "test" or, where there is none or it has no labels,
    "validation", are read into memory at once (centre_crop). ImageNet's 50,000 take 7.5 GB at 224 pixels.

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
    builder, test_split = open_builder(name, folder)
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
        ImageStream(builder, test_split, builder.info.splits[test_split].num_examples, size).arrays(),
        tuple(builder.info.features["label"].names),
    )
