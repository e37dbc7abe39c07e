"""Makes models from an exported one without converting again: fewer outputs, decisions as inputs, single parts."""

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.branching import decision_of_branch, unit_of_tensor
from keras_dynamic.lite.flatbuffer import Model, cut, prune, read_from_outside, submodel
from keras_dynamic.lite.metadata import metadata_needed, set_signature, signature_names


def with_outputs(model: bytes, names) -> bytes:
    """Returns an exported model with only the outputs `names`, in this order, and without the others' work."""
    return flatbuffer.edited(model, keep_outputs, names)


def keep_outputs(model: Model, names) -> None:
    """Removes the other outputs of a parsed model, and the work that they needed, in place."""
    inputs, outputs = signature_names(model)
    for name in names:
        if name not in outputs:
            raise ValueError(
                f"the model has no output {name!r}; it has {outputs}; export it with outputs={tuple(names)}."
            )
    main = model.subgraphs[0]
    main.outputs = [main.outputs[outputs.index(name)] for name in names]
    set_signature(model, inputs, names)
    prune(model)


def driven(model: bytes) -> bytes:
    """Returns the model with its decisions as further inputs, bool, named as in the metadata.

    Its one output is logits. Networks inside units still decide for themselves.
    """
    return flatbuffer.edited(model, _drive)


def _drive(model: Model) -> None:
    keep_outputs(model, ["logits"])
    names = metadata_needed(model)["decisions"]
    main = model.subgraphs[0]
    inputs, _ = signature_names(model)
    given: dict[str, int] = {}
    for operator in main.operators:
        if flatbuffer.branches(operator):
            index = decision_of_branch(model.subgraphs[flatbuffer.branches(operator)[0]].name)
            given[names[index]] = operator.inputs[0]
    makers = [operator for operator in main.operators if set(operator.outputs) & set(given.values())]
    main.operators = [operator for operator in main.operators if operator not in makers]
    main.inputs = [*main.inputs, *given.values()]
    set_signature(model, [*inputs, *given], ["logits"])
    prune(model)


def unit_parts(model: bytes) -> dict[str, bytes]:
    """Cuts a static model into one model per unit, and one each for what comes before and after them.

    Args:
        model: an exported .tflite without IFs.

    Returns:
        {part: .tflite's bytes} in order of execution: 'stem', the units by name, 'head'. Parts without operators are
        left out. Only the number of a part's inputs and outputs has a meaning.
    """
    parsed = flatbuffer.load(model)
    names = metadata_needed(parsed)["units"]
    graph = parsed.subgraphs[0]
    owner = [unit_of_tensor(graph.tensors[operator.outputs[0]].name) for operator in graph.operators]
    first = next((k for k, unit in enumerate(owner) if unit is not None), len(owner))
    members: dict[str, list[int]] = {"stem": list(range(first)), **{name: [] for name in names}, "head": []}
    for k in range(first, len(owner)):
        unit = owner[k]
        members["head" if unit is None else names[unit]].append(k)
    return {name: flatbuffer.pack(_cut_out(parsed, inside)) for name, inside in members.items() if inside}


def _cut_out(model: Model, inside: list[int]) -> Model:
    """Returns a model of some of the main graph's operators."""
    graph = model.subgraphs[0]
    made = [t for k in inside for t in graph.operators[k].outputs]
    read = {t for k, operator in enumerate(graph.operators) if k not in set(inside) for t in operator.inputs}
    results = [t for t in made if t in read or t in graph.outputs]
    taken = list(dict.fromkeys(read_from_outside(model, graph, inside, [])))
    return submodel(model, cut(graph, inside, taken, results))
