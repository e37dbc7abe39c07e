"""Training images that do not fit into memory: read from a TFDS folder anew in every epoch."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dynamic.data.crop import centre_crop, random_resized_crop

_BUFFER = 10_000  # compressed images from which the next one is drawn, about a gigabyte of ImageNet's


class ImageStream:
    """A part of a TFDS set, whose images come cropped to one size; StreamBatches serves them to fit.

    Args:
        builder: prepared TFDS builder of a set with the features image and label.
        split: the part in TFDS' words, such as 'train[:1271167]'.
        count: images in it.
        size: side of the crops in pixels.
    """

    def __init__(self, builder: Any, split: str, count: int, size: int) -> None:
        self.builder, self.split, self.count, self.size = builder, split, count, size

    def __len__(self) -> int:
        """Number of images."""
        return self.count

    def shuffled(self, seed: int, augment: bool = True) -> Any:
        """Returns the images in a random order: files in random order, and each image drawn out of 10,000.

        Args:
            seed: of order and crops.
            augment: whether crops are those for training, random ones, or those for judging.

        Returns:
            tf.data.Dataset of (uint8 [size, size, 3], int32 label).
        """
        import tensorflow as tf

        size = self.size

        def prepare(number: Any, example: Any) -> Any:
            image = _decode(example)
            cropped = (
                random_resized_crop(image, size, tf.stack([seed, number])) if augment else centre_crop(image, size)
            )
            return cropped, tf.cast(example["label"], tf.int32)

        examples = self._examples(shuffle_seed=seed).shuffle(min(_BUFFER, self.count), seed=seed)
        return _in_parallel(examples.enumerate(), prepare)

    def arrays(self, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Reads images into memory, as for judging and in TFDS' own order.

        Args:
            count: of the first images; None for all.

        Returns:
            (uint8 [count, size, size, 3], int32 labels [count]).
        """
        import tensorflow as tf

        size = self.size

        def prepare(example: Any) -> Any:
            return centre_crop(_decode(example), size), tf.cast(example["label"], tf.int32)

        count = self.count if count is None else min(count, self.count)
        images, labels = np.empty((count, size, size, 3), np.uint8), np.empty(count, np.int32)
        read = _in_parallel(self._examples().take(count), prepare)
        for number, (image, label) in enumerate(read.as_numpy_iterator()):
            images[number], labels[number] = image, label
        return images, labels

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


def _decode(example: Any) -> Any:
    import tensorflow as tf

    return tf.io.decode_image(example["image"], channels=3, expand_animations=False)


def _in_parallel(examples: Any, prepare: Callable) -> Any:
    """Maps on all cores, in the order of the examples."""
    import tensorflow as tf

    return examples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
