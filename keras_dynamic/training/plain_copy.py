"""A network of its own, without what a method adds."""

import tempfile
from pathlib import Path

import keras

from keras_dynamic.layers import DynamicModel


def plain_copy(model) -> DynamicModel:
    """Returns chain and decider of a model as a DynamicModel with weights of its own.

    It goes by way of a file, which copies states outside of weights too, such as those of seed generators.

    Args:
        model: built DynamicModel or method; it must be one that can be saved and loaded.

    Raises:
        TypeError: of Keras, if a layer's class is not registered, so that it cannot be loaded.
    """
    plain = DynamicModel(model.chain, model.decider, name=model.name, dtype=model.dtype_policy)
    plain.build(model.image_shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.keras"
        plain.save(path)
        return keras.models.load_model(path, compile=False, safe_mode=False)  # written a line above
