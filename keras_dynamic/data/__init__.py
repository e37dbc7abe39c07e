"""Image sets, augmentation, batches and the held-out split; imports TensorFlow only to read a TFDS folder."""

from keras_dynamic.data.augment import random_crop_flip
from keras_dynamic.data.batches import Batches
from keras_dynamic.data.dataset import Dataset, from_arrays
from keras_dynamic.data.load import load, load_arrays
from keras_dynamic.data.shipped import Shipped, shipped
from keras_dynamic.data.split import hold_out

__all__ = [
    "Batches",
    "Dataset",
    "Shipped",
    "from_arrays",
    "hold_out",
    "load",
    "load_arrays",
    "random_crop_flip",
    "shipped",
]
