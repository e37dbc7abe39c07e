"""Adds exits to a network, makes them collaborate, or cuts a network at one of them."""

from collections.abc import Sequence

import keras
from keras import layers

from keras_dynamic.layers import Always, BatchNormalization, Collaborative, DynamicModel, Exit
from keras_dynamic.layers.dynamic_model import as_dynamic
from keras_dynamic.layers.exits import reads_previous
from keras_dynamic.messages import check_number, did_you_mean, is_count


def attach_exits(
    network, after: Sequence[str], filters: int | Sequence[int] = 64, copies: Sequence[str] = (), frozen=False
) -> DynamicModel:
    """Returns the network with an exit after each of some units: convolution, batch norm, ReLU, pool and dense layer.

    The network's layers are shared, so its own logits, those of the head, stay; the exits' layers are new. What decides
    on units is copied with its weights, as a decider is for one chain.

        network = kd.transform.attach_exits(kd.zoo.load("resnet32_cifar10_45k"), after=["stage2_unit2", "stage2_unit5"])
        model = kd.methods.IMTA(network.chain)

    With `copies` an exit is instead a shortened copy of the rest of a trained network, which few images can train:

        kd.transform.attach_exits(network, ["stage2_unit1"], copies=["stage3_unit1", "stage3_unit5"], frozen=True)

    Args:
        network: built DynamicModel whose units return one tensor, [batch, ..., channels]; or a functional or sequential
            Keras model, which is copied, see models.from_functional.
        after: names of units, such as those of exit_places.
        filters: of each exit's 3x3 convolution of stride 2 (of size 3 on sequences, a dense layer on vectors); 0 for
            only a pool and a dense layer. One number for all exits, or one for each, in the order of the units.
        copies: names of later units; copies of them, with their weights, and of the network's head make each exit, in
            place of convolution and dense layer.
        frozen: True sets the network's own layers to trainable=False, batch norm included, so that the exits alone are
            trained and the network's logits stay as they are; also in the network that was given.

    Returns:
        DynamicModel, built, in which no image stops at the exits, which are 'exit1', 'exit2', ... in the order of the
        units. deciders.CombinedDecider([model.decider, Confidence()]) makes a decider for gates and exits.

    Raises:
        ValueError: if the network is not built or has exits already, a unit is unknown, named twice or returns several
            tensors, filters is negative or of another number, or units to copy do not follow the exit or do not fit its
            feature map.
    """
    network = as_dynamic(network)
    chain = network.chain
    if not chain.built or chain.exits:
        what = f"has the exits {chain.exit_names}" if chain.exits else "is not built"
        raise ValueError(f"attach_exits takes a built network without exits, got {network.name!r}, which {what}.")
    names = [unit.name for unit in chain.units]
    for argument, given in (("after", after), ("copies", copies)):
        for name in given:
            if name not in names:
                raise ValueError(
                    f"{argument} names unit {name!r}, which is not there{did_you_mean(name, names)}; units are {names}."
                )
    if len(set(after)) != len(after) or not after:
        raise ValueError(f"after must be one unit or several different ones, got {list(after)}.")
    widths = list(filters) if isinstance(filters, (list, tuple)) else [filters] * len(after)
    if len(widths) != len(after) or not all(is_count(width, 0) for width in widths):
        raise ValueError(
            f"filters must be a number of at least 0, or one for each of the {len(after)} exits, got {filters!r}; 0 "
            "leaves the convolution out."
        )
    answers = chain.logits_specs[-1].shape
    if len(answers) != 2 and not copies:
        raise ValueError(
            f"attach_exits makes heads of one answer per input, but {network.name!r} gives logits {list(answers)}; "
            "give copies=[...] of later units, or Chain exits with heads of your own."
        )
    classes = answers[-1]
    exits: list[Exit] = []
    for name, width in zip(sorted(after, key=names.index), widths, strict=True):
        shape = getattr(chain.output_of(names.index(name)), "shape", ())
        if len(shape) not in _BY_RANK:
            raise ValueError(
                f"an exit reads one tensor [batch, ..., channels], but unit {name!r} returns "
                f"{tuple(shape) or 'several tensors'}."
            )
        number = len(exits) + 1
        head = _copied(chain, name, copies, number) if copies else _head(width, classes, number, len(shape))
        exits.append(Exit(head, name, name=f"exit{number}"))
    made = DynamicModel(
        chain.replace(exits=exits), _unbound(network.decider), name=network.name, dtype=network.dtype_policy
    )
    made.build(network.image_shape)
    made.decider.set_weights(network.decider.get_weights())
    if copies:
        sources = [*(chain.units[names.index(name)] for name in copies), chain.head]
        for each in exits:
            for layer, source in zip(each.head.layers, sources, strict=True):
                layer.set_weights(source.get_weights())
    if frozen:
        for layer in (chain.stem, *chain.units, chain.head):
            layer.trainable = False
    return made


def _unbound(decider):
    """Returns a decider of the same settings for another chain; None for one in which everything runs."""
    return None if isinstance(decider, Always) else type(decider).from_config(decider.get_config())


def exit_places(network, shares: Sequence[float] = (0.25, 0.75)) -> list[str]:
    """Returns the names of units at some shares of the depth of each stage, for attach_exits.

    A stage is a run of units whose outputs have one size, height and width or length.

        network = kd.zoo.load("resnet32_cifar10_45k")
        places = kd.transform.exit_places(network)
        network = kd.transform.attach_exits(network, places, filters=(16, 24, 32, 48, 64, 96))

    Args:
        network: built DynamicModel whose units return one tensor; or a functional or sequential Keras model.
        shares: in (0, 1].

    Returns:
        Names, in order, each once; not the last unit's, after which the head follows.

    Raises:
        ValueError: if the network is not built, shares are out of range, or no unit is left.

    Source: DDI, section 4.1 and figure 4(a).
    """
    network = as_dynamic(network)
    if not network.chain.built:
        raise ValueError(
            f"exit_places takes a built network, got {network.name!r}; call it on a batch of images first."
        )
    if not shares or not all(0 < check_number("a share", share) <= 1 for share in shares):
        raise ValueError(f"shares must be numbers over 0 and up to 1, got {shares!r}.")
    stages = stages_of(network.chain)
    chosen = {stage[max(1, round(share * len(stage))) - 1] for stage in stages for share in shares}
    names = [unit.name for unit in network.chain.units[:-1] if unit.name in chosen]
    if not names:
        raise ValueError(f"{network.name!r} has one unit, after which its head follows; there is no place for an exit.")
    return names


def stages_of(chain, channels=False) -> list[list[str]]:
    """Returns the names of the units of each stage: a run of units whose outputs have one size.

    Args:
        chain: built Chain.
        channels: whether they must have as many channels, too.

    Raises:
        ValueError: if a unit returns several tensors.
    """
    stages: list[list[str]] = []
    size = None
    for index, unit in enumerate(chain.units):
        shape = getattr(chain.output_of(index), "shape", ())
        if not shape:
            raise ValueError(f"stages are of units that return one tensor, but unit {unit.name!r} returns several.")
        found = tuple(shape[1:] if channels else shape[1:-1])
        if not stages or found != size:
            stages.append([])
        size = found
        stages[-1].append(unit.name)
    return stages


# By the rank of what an exit reads: the layer before its pool, and the pool.
_BY_RANK = {
    2: (None, None),
    3: (layers.Conv1D, layers.GlobalAveragePooling1D),
    4: (layers.Conv2D, layers.GlobalAveragePooling2D),
}


def _head(filters, classes, number, rank):
    convolution, pool = _BY_RANK[rank]
    head: list[keras.layers.Layer] = []
    if filters:
        options = {"use_bias": False, "name": "convolution"}
        head += [
            layers.Dense(filters, **options)
            if convolution is None
            else convolution(filters, 3, strides=2, padding="same", **options),
            BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm"),
            layers.ReLU(name="relu"),
        ]
    if pool is not None:
        head.append(pool(name="pool"))
    return keras.Sequential([*head, layers.Dense(classes, name="dense")], name=f"exit{number}_head")


def _copied(chain, after, copies, number):
    """Returns unbuilt copies of units and of the chain's head as the head of an exit.

    Raises:
        ValueError: if a unit does not fit the output of the layer before it.
    """
    names = [unit.name for unit in chain.units]
    given, before = chain.output_of(names.index(after)), names.index(after)
    for name in copies:
        index = names.index(name)
        wanted = chain.output_of(index - 1)
        if index <= before or tuple(wanted.shape) != tuple(given.shape):
            raise ValueError(
                f"copies must be later units, in order, that fit one after the other after {after!r}, but {name!r} "
                f"takes {tuple(wanted.shape)[1:]} and gets {tuple(given.shape)[1:]}; copy the units that change the "
                "shape too."
            )
        given, before = chain.output_of(index), index
    last = chain.output_of(len(names) - 1)
    if tuple(given.shape) != tuple(last.shape):
        raise ValueError(
            f"copies must end with the shape that the network's head takes, {tuple(last.shape)[1:]}, but "
            f"{copies[-1]!r} gives {tuple(given.shape)[1:]}; copy the units that change the shape too."
        )
    layers_ = [*(chain.units[names.index(name)] for name in copies), chain.head]
    return keras.Sequential([_copy(layer, number) for layer in layers_], name=f"exit{number}_head")


def _copy(layer, number):
    """Returns a new trainable layer of the same configuration, with the exit's name as a prefix."""
    config = keras.saving.serialize_keras_object(layer)
    config["config"].update(name=f"exit{number}_{layer.name}", trainable=True)
    config.pop("build_config", None)
    return keras.saving.deserialize_keras_object(config)


def collaborate(network, hidden=0, share=1.0) -> DynamicModel:
    """Returns the network with inline subnetwork collaboration: each classifier gets the logits of the exit before.

    The layers themselves are used, not copied: give a network that nothing else uses.

        network = kd.models.msdnet(...)
        chain = kd.transform.collaborate(network, hidden=100).chain
        phase_two = kd.methods.IMTA(chain, alpha=0.5, classifiers_only=True)

    Args:
        network: built DynamicModel with exits.
        hidden: width of the small dense network that the earlier logits pass through (dense, batch norm, ReLU, dense),
            whose last weights start at 0, so that all logits stay as they are; 0 for the identity, which changes them.
        share: factor of the logits that are added, a positive number. With hidden=0 and about 0.5 the exits of a
            trained network form an ensemble without further training.

    Returns:
        DynamicModel, built, in which everything runs.

    Raises:
        ValueError: if the network has no exits, its exits collaborate already, hidden is negative, or share is not
            positive.

    Source: IMTA, section 3.2; the small dense network is that of the authors' code.
    """
    if not is_count(hidden, 0):
        raise ValueError(f"hidden must be a width of at least 0, got {hidden!r}; 0 is the identity.")
    chain = network.chain
    if not chain.exits or not chain.built:
        unbuilt = "" if chain.built else " that is not built"
        raise ValueError(
            f"collaborate takes a built network with exits, got {network.name!r} with {len(chain.exits)} "
            f"exits{unbuilt}; give Chain exits=[Exit(...), ...], and call the network on a batch of images first."
        )
    ordered = [step.exit for step in chain.steps() if step.exit is not None]
    if any(isinstance(head, Collaborative) for head in [*(each.head for each in ordered), chain.head]):
        raise ValueError(f"the exits of {network.name!r} collaborate already; give it the plain network.")
    classes = chain.logits_specs[-1].shape[-1]

    def collaborative(head, name):
        return Collaborative(head, _transfer(hidden, classes) if hidden else None, share, name=f"{name}_collaborative")

    first, *later = ordered
    exits = [
        first,
        *(Exit(collaborative(each.head, each.name), each.after, each.leaf, name=each.name) for each in later),
    ]
    head = collaborative(chain.head, "head")
    made = DynamicModel(chain.replace(head=head, exits=exits), name=network.name, dtype=network.dtype_policy)
    made.build(network.image_shape)
    return made


def _transfer(hidden, classes):
    return keras.Sequential(
        [
            layers.Dense(hidden, use_bias=False, name="dense"),
            BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm"),
            layers.ReLU(name="relu"),
            layers.Dense(classes, use_bias=False, kernel_initializer="zeros", name="logits"),
        ],
        name="transfer",
    )


def until_exit(model, name) -> DynamicModel:
    """Returns the network up to an exit as a static network, which returns that exit's logits.

    Each exit can thus be exported, timed or fine-tuned as a plain network, which shares the layers and their weights.
    An exit whose logits this one reads (collaborate) is computed, and counts, too; all other exits are left out.

        content = kd.lite.export(kd.transform.until_exit(model, "exit2"))

    Args:
        model: built DynamicModel with exits.
        name: of the exit.

    Returns:
        DynamicModel, built, named '<model>_<exit>', in which everything runs.

    Raises:
        ValueError: if the model is not built or has no exit of this name.
    """
    if not model.chain.built:
        raise ValueError(f"model {model.name!r} is not built; call it on a batch of images first.")
    steps = model.chain.steps()
    exits = [step for step in steps if step.exit is not None]
    names = [step.exit.name for step in exits]
    if name not in names:
        raise ValueError(
            f"model {model.name!r} has no exit {name!r}{did_you_mean(name, names)}; its exits are {names}."
        )
    index = first = names.index(name)
    while reads_previous(exits[first].exit.head):
        first -= 1
    before = [step.exit for step in exits[first:index]]
    units = model.chain.units[: exits[index].place + 1]
    chain = model.chain.replace(units=units, head=exits[index].exit, exits=before)
    made = DynamicModel(chain, name=f"{model.name}_{name}", dtype=model.dtype_policy)
    made.build(model.image_shape)
    return made
