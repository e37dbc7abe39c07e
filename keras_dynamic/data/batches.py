"""Shuffled, augmented batches of arrays for fit, on any Keras backend."""

import math
from collections.abc import Callable

import keras
import numpy as np

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Batches(keras.utils.PyDataset):
    """Serves arrays as batches, in a new order and with new augmentation in every epoch.

    What a batch holds depends on the seed, the epoch and its index alone. A run that goes on after n epochs with
    `Batches(..., epoch=n)` sees what the uninterrupted run would have seen. Call `fit(batches, shuffle=False)`:
    Keras' own shuffling is on by default and changes the order of the batches from Python's global random state.

    An epoch ends when Keras says so and every batch has been read at least once, so that the look which `fit` takes at
    the first batches to build a model does not count (with only one or two batches per epoch it may). Leave fit's
    steps_per_epoch unset.

    Args:
        x: images [n, ...].
        y: labels [n, ...].
        batch_size: images per batch; the last batch of an epoch may be smaller.
        augment: called as augment(images, rng) on the images of every batch, e.g. `random_crop_flip`; None for none.
        shuffle: False keeps the order of the arrays.
        seed: of the order and of the augmentation.
        epoch: epochs that were run before, 0 for a fresh start.
        drop_remainder: leaves out the last images of an epoch's order where they don't fill a batch, so that all
            batches are of one size.

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
        super().__init__()
        if len(x) != len(y):
            raise ValueError(
                f"Expected as many labels as images, got {len(y)} labels and {len(x)} images; pass both of one set."
            )
        if batch_size < 1:
            raise ValueError(f"Expected a batch_size of 1 or more, got {batch_size}; 128 is usual.")
        if len(x) < (batch_size if drop_remainder else 1):
            raise ValueError(
                f"Expected enough images for one batch of {batch_size}, got {len(x)}; "
                f"pass more images or a smaller batch_size."
            )
        if epoch < 0 or seed < 0:
            raise ValueError(f"Expected epoch and seed to be 0 or more, got epoch {epoch} and seed {seed}.")
        self.x, self.y = x, y
        self.batch_size = batch_size
        self.augment = augment
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = epoch
        self.drop_remainder = drop_remainder
        self._shuffled = (-1, np.arange(len(x)))
        self._read: set[int] = set()

    def __len__(self) -> int:
        """Number of batches per epoch."""
        return len(self.x) // self.batch_size if self.drop_remainder else math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Makes one batch of the present epoch.

        Args:
            index: 0 to len(self) - 1.

        Returns:
            (images [batch, ...], labels [batch, ...]), in the dtypes of x and y.

        Raises:
            IndexError: index is out of range.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Expected a batch index from 0 to {len(self) - 1}, got {index}.")
        epoch = self.epoch
        chosen = self._order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        images, labels = self.x[chosen], self.y[chosen]
        if self.augment is not None:
            images = self.augment(images, self._random(epoch, 1 + index))
        self._read.add(index)
        return images, labels

    def on_epoch_end(self) -> None:
        """Goes on to the next epoch, if every batch of this one has been read."""
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
