"""The images of a run: to train on, to choose on, to judge on."""

from typing import Any, NamedTuple

from keras_dynamic import data
from keras_dynamic.evaluation.evaluate import Pair
from keras_dynamic.experiments.networks import image_shape


class Splits(NamedTuple):
    """A data set, split.

    Attributes:
        train: (uint8 images [n, height, width, channels], int labels [n]), or a data.ImageStream.
        held_out: such arrays; models and thresholds are chosen on it.
        test: likewise, for judging only.
        class_names: one name per class.
    """

    train: Any
    held_out: Pair
    test: Pair
    class_names: tuple[str, ...]


def load_splits(config, data_dir=None) -> Splits:
    """Loads a data set and holds out the last training images.

    Args:
        config: with name and held_out (images), and perhaps size: photographs of any size, such as ImageNet's, come
            cropped to so many pixels, and training images are read anew in every epoch, see data.stream.
        data_dir: folder of the data set, None for sets that ship or lie in the usual place.

    Returns:
        Splits.

    Raises:
        ValueError: if the set is unknown or has too few images.
        FileNotFoundError: if it is not in the folder.
    """
    if config.get("size"):
        return Splits(*data.stream(config.name, data_dir, config.size, config.held_out))
    loaded = data.load(config.name, data_dir)
    train, held_out = data.hold_out(loaded.x_train, loaded.y_train, config.held_out)
    return Splits(train, held_out, (loaded.x_test, loaded.y_test), loaded.class_names)


def first_images(splits, count) -> Pair:
    """Returns the first `count` training images, without augmentation, and their labels."""
    if isinstance(splits.train, data.ImageStream):
        return splits.train.arrays(count)
    x, y = splits.train
    return x[:count], y[:count]


def check_fit(splits, config):
    """Raises a ValueError unless the network that a config describes takes these images and has these classes."""
    name, shape, classes = config.data.name, splits.test[0].shape[1:], len(splits.class_names)
    taken = image_shape(config.network)
    if shape != taken:
        raise ValueError(
            f"the network takes images of {taken}, but those of {name!r} are {shape}; resize them, or, of a TFDS "
            f"folder, set data.size={taken[0]}."
        )
    static = config.get("evaluation", {}).get("static", ())
    if config.data.get("size") and (str(config.network.weights).startswith("zoo:") or static):
        raise ValueError(
            "networks of the zoo have not seen the last images in CIFAR-10's own order, but a stream holds out the "
            f"last of a TFDS folder's; got data.size={config.data.size} with {config.network.weights or static!r}: "
            "leave data.size out, or name other weights and no evaluation.static."
        )
    if classes != config.network.num_classes:
        raise ValueError(
            f"data set {name!r} has {classes} classes, but the config's network {config.network.num_classes}; "
            f"set network.num_classes={classes} and weights trained on them."
        )
