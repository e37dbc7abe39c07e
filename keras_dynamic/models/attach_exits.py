"""A plain network with exits on its way."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_dynamic.layers import DynamicModel, Exit
from keras_dynamic.messages import is_count, near


def attach_exits(network, after: Sequence[str], filters=64) -> DynamicModel:
    """Returns the network with an exit behind each of some units: convolution, batch norm, ReLU, pool and dense layer.

    The network's layers are shared, so its own answer, that of the last exit, stays; the exits' layers are new.

        network = kd.models.attach_exits(kd.zoo.load("resnet32_cifar10_45k"), after=["stage2_unit2", "stage2_unit5"])
        model = kd.methods.IMTA(network.chain)

    Args:
        network: built DynamicModel whose units hand on feature maps, [batch, height, width, channels].
        after: names of units.
        filters: of each exit's 3x3 convolution of stride 2; 0 for a pool and a dense layer alone.

    Returns:
        DynamicModel, built, in which everything runs; the exits are 'exit1', 'exit2', ... in the order of the units.

    Raises:
        ValueError: if the network is not built or has exits already, a unit is not there, named twice or hands on no
            feature map, or filters is negative.
    """
    chain = network.chain
    if not chain.built or chain.exits:
        what = f"has the exits {chain.exit_names}" if chain.exits else "is not built"
        raise ValueError(f"attach_exits takes a built network without exits, got {network.name!r}, which {what}.")
    if not is_count(filters, 0):
        raise ValueError(f"filters must be a number of at least 0, got {filters!r}; 0 leaves the convolution out.")
    names = [unit.name for unit in chain.units]
    for name in after:
        if name not in names:
            raise ValueError(f"after names unit {name!r}, which is not there{near(name, names)}; units are {names}.")
    if len(set(after)) != len(after) or not after:
        raise ValueError(f"after must be one unit or several different ones, got {list(after)}.")
    classes = chain.answer_specs[-1].shape[-1]
    exits: list[Exit] = []
    for name in sorted(after, key=names.index):
        shape = getattr(chain.output_of(names.index(name)), "shape", ())
        if len(shape) != 4:
            raise ValueError(f"an exit reads a feature map, but unit {name!r} hands on {tuple(shape) or 'several'}.")
        number = len(exits) + 1
        exits.append(Exit(_head(filters, classes, number), name, name=f"exit{number}"))
    made = DynamicModel(chain.replace(exits=exits), name=network.name, dtype=network.dtype_policy)
    made.build(network.image_shape)
    return made


def _head(filters, classes, number):
    head: list[keras.layers.Layer] = []
    if filters:
        head += [
            layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name="convolution"),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm"),
            layers.ReLU(name="relu"),
        ]
    head += [layers.GlobalAveragePooling2D(name="pool"), layers.Dense(classes, name="dense")]
    return keras.Sequential(head, name=f"exit{number}_head")
