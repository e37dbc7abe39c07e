"""Shuffled, augmented batches for fit, on any Keras backend."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_dynamic.data.streams import ImageStream


def random_crop_flip(images: np.ndarray, rng: np.random.Generator, padding: int = 4, fill: ArrayLike = 0) -> np.ndarray:
    """Crops each image at a random place after padding it, and mirrors it with probability one half.

    The standard augmentation of CIFAR training. The shipped networks were trained with a black border (0 before
    normalisation), so that it is part of their batch-norm statistics: ResNet-32, with these statistics re-estimated on
    6,000 training images, has a test accuracy of 93.4 % with a black border, 88.8 % with the mean colour and 89.4 %
    without crops.

    Args:
        images: [batch, height, width, channels], any dtype.
        rng: random generator; the same state gives the same crops.
        padding: pixels added on every side; 0 only mirrors.
        fill: value of the added pixels, one number or one per channel.

    Returns:
        A new array of the shape and dtype of images.

    Raises:
        ValueError: images do not have four axes, or padding is negative.

    Source: He et al., Deep Residual Learning for Image Recognition (arXiv 1512.03385), section 4.2.
    """
    if images.ndim != 4:
        raise ValueError(
            f"Expected images as [batch, height, width, channels], got {list(images.shape)}; pass a batch."
        )
    if padding < 0:
        raise ValueError(f"Expected padding of 0 pixels or more, got {padding}; 0 adds none.")
    n, height, width, channels = images.shape
    padded_height, padded_width = height + 2 * padding, width + 2 * padding
    padded = np.empty((n, padded_height, padded_width, channels), images.dtype)
    padded[:] = fill
    padded[:, padding : padding + height, padding : padding + width] = images

    top, left = rng.integers(0, 2 * padding + 1, (2, n))
    mirrored = rng.random((n, 1)) < 0.5
    rows = top[:, None] + np.arange(height)
    columns = left[:, None] + np.where(mirrored, np.arange(width)[::-1], np.arange(width))
    # One flat index per pixel: NumPy takes rows of a [pixels, channels] array several times as fast as it indexes along
    # three axes.
    image = np.arange(n)[:, None, None]
    pixel = (image * padded_height + rows[:, :, None]) * padded_width + columns[:, None, :]
    return np.take(padded.reshape(-1, channels), pixel.ravel(), axis=0).reshape(images.shape)


Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class _EpochBatches(keras.utils.PyDataset):
    """Batches that depend on a seed and on the number of the epoch."""

    def __init__(self, batch_size: int, seed: int, epoch: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"Expected a batch_size of 1 or more, got {batch_size}; 128 is usual.")
        if epoch < 0 or seed < 0:
            raise ValueError(f"Expected epoch and seed to be 0 or more, got epoch {epoch} and seed {seed}.")
        self.batch_size, self.seed, self.epoch = batch_size, seed, epoch

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"Expected a batch index from 0 to {len(self) - 1}, got {index}.")


class Batches(_EpochBatches):
    """Serves arrays as batches, in a new order and with new augmentation in every epoch.

    A batch depends on the seed, the epoch and its index alone, so that a run resumed after n epochs with
    `Batches(..., epoch=n)` gets the batches of an uninterrupted run. Call `fit(batches, shuffle=False)`: Keras' own
    shuffling is on by default and changes the order of the batches from Python's global random state.

    An epoch ends when Keras calls on_epoch_end and every batch has been read at least once: the first batches that
    `fit` reads to build a model do not count (with only one or two batches per epoch they may). Leave fit's
    steps_per_epoch unset.

    Args:
        x: images [n, ...].
        y: labels [n, ...].
        batch_size: images per batch; the last batch of an epoch may be smaller.
        augment: function (images, rng) -> images, called on every batch, e.g. `random_crop_flip`; None for none.
        shuffle: False keeps the order of the arrays.
        seed: of the order and of the augmentation.
        epoch: epochs that were run before, 0 for a fresh start.
        drop_remainder: leaves out the last images of an epoch where they don't fill a batch.

    Attributes:
        epoch: the number of the epoch being served, counted from 0; may be set between epochs.

    Raises:
        ValueError: x and y differ in length, batch_size is not 1 or more, epoch or seed is negative, or there are
            too few images for one batch.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        batch_size: int = 128,
        augment: Augment | None = None,
        shuffle: bool = True,
        seed: int = 0,
        epoch: int = 0,
        drop_remainder: bool = False,
    ) -> None:
        super().__init__(batch_size, seed, epoch)
        if len(x) != len(y):
            raise ValueError(
                f"Expected as many labels as images, got {len(y)} labels and {len(x)} images; pass both of one set."
            )
        if len(x) < (batch_size if drop_remainder else 1):
            raise ValueError(
                f"Expected enough images for one batch of {batch_size}, got {len(x)}; "
                f"pass more images or a smaller batch_size."
            )
        self.x, self.y, self.augment, self.shuffle, self.drop_remainder = x, y, augment, shuffle, drop_remainder
        self._shuffled = (-1, np.arange(len(x)))
        self._read: set[int] = set()

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return len(self.x) // self.batch_size if self.drop_remainder else math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns one batch of the present epoch: (images [batch, ...], labels [batch, ...]), dtypes of x and y."""
        self._check_index(index)
        epoch = self.epoch
        chosen = self._order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        images, labels = self.x[chosen], self.y[chosen]
        if self.augment is not None:
            images = self.augment(images, self._random(epoch, 1 + index))
        self._read.add(index)
        return images, labels

    def on_epoch_end(self) -> None:
        """Starts the next epoch, if every batch of this one has been read."""
        if len(self._read) == len(self):
            self.epoch += 1
            self._read = set()

    def _order(self, epoch: int) -> np.ndarray:
        # Order and epoch are kept as one tuple: Keras may read ahead from another thread while the epoch changes.
        kept, order = self._shuffled
        if self.shuffle and kept != epoch:
            order = self._random(epoch, 0).permutation(len(self.x))
            self._shuffled = (epoch, order)
        return order

    def _random(self, epoch: int, stream: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch, stream])


class StreamBatches(_EpochBatches):
    """Serves a stream as batches, in a new order and with new crops in every epoch, as Batches does for arrays.

    A batch depends on the seed, TensorFlow's global seed, the epoch and its index, so that a run resumed after n epochs
    with `StreamBatches(..., epoch=n)` gets the batches of an uninterrupted run. Batches are read in order, as
    fit(batches, shuffle=False) does; any other index reads the epoch again from its beginning.

    Args:
        stream: ImageStream.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        augment: True for random crops, False for the centre crops of evaluation.
        seed: of order and crops.
        epoch: epochs that were run before, 0 for a fresh start.

    Attributes:
        epoch: the number of the epoch being served, counted from 0; may be set between epochs.

    Raises:
        ValueError: batch_size is not 1 or more, or epoch or seed is negative.
    """

    def __init__(
        self, stream: ImageStream, batch_size: int = 128, augment: bool = True, seed: int = 0, epoch: int = 0
    ) -> None:
        super().__init__(batch_size, seed, epoch)
        self.stream, self.augment = stream, augment
        self._next: tuple[int, int] | None = None  # epoch and index of the batch that is read next
        self._reader: Iterator[Any] = iter(())

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return math.ceil(len(self.stream) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns one batch of the present epoch: (uint8 images [batch, size, size, 3], int32 labels [batch])."""
        self._check_index(index)
        epoch = self.epoch
        if self._next != (epoch, index):
            self._reader = self._read_from(epoch, index)
        batch = next(self._reader)
        self._next = (epoch, index + 1)
        return batch

    def on_epoch_end(self) -> None:
        """Starts the next epoch, if this one has been read to its end."""
        if self._next == (self.epoch, len(self)):
            self.epoch += 1

    def _read_from(self, epoch: int, index: int) -> Iterator[Any]:
        draw = int(np.random.default_rng([self.seed, epoch]).integers(2**31))
        images = self.stream.shuffled(draw, self.augment).skip(index * self.batch_size)
        return images.batch(self.batch_size).prefetch(2).as_numpy_iterator()
