"""Shuffled, augmented batches of a stream of images for fit, on any Keras backend."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_dynamic.data.image_stream import ImageStream


class StreamBatches(keras.utils.PyDataset):
    """Serves a stream as batches, in a new order and with new crops in every epoch: what Batches is for arrays.

    What a batch holds depends on the seed, TensorFlow's global one, the epoch and its index, so that a run that goes on
    after n epochs with `StreamBatches(..., epoch=n)` sees what the uninterrupted run would have seen. Batches are read
    one after the other, as fit(batches, shuffle=False) does; for any other index reading starts again from the epoch's
    beginning.

    Args:
        stream: images.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        augment: whether images get random crops, or those for judging.
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
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"Expected a batch_size of 1 or more, got {batch_size}; 128 is usual.")
        if epoch < 0 or seed < 0:
            raise ValueError(f"Expected epoch and seed to be 0 or more, got epoch {epoch} and seed {seed}.")
        self.stream, self.batch_size, self.augment, self.seed, self.epoch = stream, batch_size, augment, seed, epoch
        self._next: tuple[int, int] | None = None  # epoch and index of the batch that is read next
        self._reader: Iterator[Any] = iter(())

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return math.ceil(len(self.stream) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Reads one batch of the present epoch.

        Args:
            index: 0 to len(self) - 1.

        Returns:
            (uint8 images [batch, size, size, 3], int32 labels [batch]).

        Raises:
            IndexError: index is out of range.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Expected a batch index from 0 to {len(self) - 1}, got {index}.")
        epoch = self.epoch
        if self._next != (epoch, index):
            self._reader = self._read_from(epoch, index)
        batch = next(self._reader)
        self._next = (epoch, index + 1)
        return batch

    def on_epoch_end(self) -> None:
        """Goes on to the next epoch, if this one has been read to its end."""
        if self._next == (self.epoch, len(self)):
            self.epoch += 1

    def _read_from(self, epoch: int, index: int) -> Iterator[Any]:
        draw = int(np.random.default_rng([self.seed, epoch]).integers(2**31))
        images = self.stream.shuffled(draw, self.augment).skip(index * self.batch_size)
        return images.batch(self.batch_size).prefetch(2).as_numpy_iterator()
