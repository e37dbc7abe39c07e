"""A network up to one of its exits, as a network of its own."""

from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.exit import reads_previous
from keras_dynamic.messages import near


def until_exit(model, name) -> DynamicModel:
    """Returns the network up to an exit as an ordinary static network, whose answer is that exit's.

    Each exit can thus be exported, timed or fine-tuned as a plain network. It shares the layers: what either learns,
    both know. Where the exit goes on from the answer of the exit before, that one is computed as well, and counts; all
    other exits are left out.

        content = kd.lite.export(kd.models.until_exit(model, "exit2"))

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
        raise ValueError(f"model {model.name!r} has no exit {name!r}{near(name, names)}; its exits are {names}.")
    index = first = names.index(name)
    while reads_previous(exits[first].exit.head):
        first -= 1
    before = [step.exit for step in exits[first:index]]
    units = model.chain.units[: exits[index].place + 1]
    chain = model.chain.replace(units=units, head=exits[index].exit, exits=before)
    made = DynamicModel(chain, name=f"{model.name}_{name}", dtype=model.dtype_policy)
    made.build(model.image_shape)
    return made
