"""Loads image sets, splits, augments and batches them; TensorFlow is imported only to read a TFDS folder."""

from keras_dynamic.data.batches import Batches, StreamBatches, random_crop_flip
from keras_dynamic.data.collect import as_arrays, batches_of
from keras_dynamic.data.datasets import Dataset, from_arrays, hold_out, load, load_arrays
from keras_dynamic.data.image_files import ImageFolder, decode_image, image_files, read_folder, read_image
from keras_dynamic.data.shipped import Shipped, shipped
from keras_dynamic.data.streams import ImageStream, Streamed, stream

__all__ = [
    "Batches",
    "Dataset",
    "ImageFolder",
    "ImageStream",
    "Shipped",
    "StreamBatches",
    "Streamed",
    "as_arrays",
    "batches_of",
    "decode_image",
    "from_arrays",
    "hold_out",
    "image_files",
    "load",
    "load_arrays",
    "random_crop_flip",
    "read_folder",
    "read_image",
    "shipped",
    "stream",
]
