"""Cuts a model that may stop at exits into models without any IF, one up to each exit and one after the last."""

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.budget import BUDGET, checked
from keras_dynamic.lite.comparisons import macs_of_stops
from keras_dynamic.lite.flatbuffer import Graph, Model, cut, drop_dead, producers, submodel
from keras_dynamic.lite.interpreter import Interpreter, decode, encode_image
from keras_dynamic.lite.metadata import metadata_needed, set_metadata, set_signature, signature_names
from keras_dynamic.lite.thresholds import THRESHOLDS, given_or_noted
from keras_dynamic.lite.variants import keep_outputs
from keras_dynamic.lite.verify import check, work_of

GO_ON = "go_on"


class Stopped(NamedTuple):
    """The answer of stages to one image.

    Attributes:
        logits: float32 array, [1, classes].
        exit: index of the exit at which the image stopped; the last one, the head, has the index of all exits together.
    """

    logits: np.ndarray
    exit: int


class Stages:
    """Runs stages on one image, each only if the one before it returns go_on: an IF in the host's own language.

    Args:
        models: what `stages` returned.
        **interpreter: arguments of Interpreter.

    Raises:
        ValueError: as Interpreter does.
    """

    def __init__(self, models: list[bytes], **interpreter):
        self._stages = [Interpreter(model, **interpreter) for model in models]
        self._notes = [metadata_needed(model) for model in models]

    def run(self, image, thresholds=None, budget=None) -> Stopped:
        """Runs the stages until one stops, or the next one's MACs would exceed the budget.

        Arguments and errors as of MicroInterpreter.run. The first stage always runs.
        """
        most = math.inf if budget is None else checked(budget)
        values: dict[str, Any] = {}
        if thresholds is not None:
            values[THRESHOLDS] = given_or_noted(thresholds, self._notes[0])
        values["image"] = encode_image(image, self._stages[0].inputs["image"], lambda: self._notes[0])
        exit_, spent = 0, 0
        for number, (stage, notes) in enumerate(zip(self._stages, self._notes, strict=True)):
            spent += notes["cost"][0]["macs"]
            if number and spent > most:
                break
            exit_ = notes["stops_at"]
            stage.feed({name: values[name] for name in stage.inputs if name in values})
            stage.invoke()
            found = stage.results(raw=True)
            logits = decode(found["logits"], stage.outputs["logits"])
            if GO_ON not in found or not found[GO_ON].item():
                break
            values |= found
        return Stopped(logits, exit_)


def stages(model: bytes) -> list[bytes]:
    """Cuts a model whose decisions are its exits alone into models without any IF, for engines that have none.

    The first stage goes up to the first exit, each next one from there to the next exit, the last to the end. A
    stage's inputs are `image` and `thresholds`, if it reads them, and state_0, state_1, ..., which earlier stages give.
    Its outputs are `logits`, those of the whole model for an image that stops here; `go_on`, bool [1], whether the next
    stage runs; and states for later stages. The last one has logits alone. Their
    answers are the whole model's, and their MACs add up to its MACs; each is verified.

        first, *later = kd.lite.stages(model)
        answer = kd.lite.Stages([first, *later]).run(image)

    Args:
        model: an exported .tflite.

    Returns:
        The stages' bytes, one more than there are exits that are decided.

    Raises:
        ValueError: if the model decides nothing or more than its exits, has a budget, or an exit's own layers run only
            for images that stop there, as where gates decide.
    """
    parsed = flatbuffer.load(model)
    keep_outputs(parsed, ["logits"])
    metadata = metadata_needed(parsed)
    listed, constant = metadata["decisions"], metadata.get("constant", {})
    if metadata.get(BUDGET):
        raise ValueError(
            "stages are cut from a model without a budget, as Stages.run takes one; export it with budget=None."
        )
    names = [name for name in listed if name not in constant]
    if not names or metadata.get("exits") != listed:
        raise ValueError(
            f"stages are cut from a model that decides its exits alone, got decisions {listed} of which exits are "
            f"{metadata.get('exits', [])}; give a network with exits and a decider such as deciders.Confidence(), with "
            "thresholds at which some images stop."
        )
    last_exit = next((index for index, name in enumerate(listed) if constant.get(name) is False), len(listed))
    stops = [*map(listed.index, names), last_exit]
    _check_heads(parsed, listed)
    main = parsed.subgraphs[0]
    begin = _Begin(main, main.outputs[0], dict(zip(main.inputs, signature_names(parsed)[0], strict=True)))
    macs = np.diff([0, *macs_of_stops(metadata["cost"], names)]).tolist()
    made = []
    for index in range(len(names)):
        stage, begin = _cut(parsed, begin)
        made.append(_packed(parsed, stage, _notes(metadata, index, macs[index], stops[index])))
    last = _Stage(begin.graph, begin.names, {begin.logits: ["logits"]})
    return [*made, _packed(parsed, last, _notes(metadata, len(names), macs[-1], stops[-1]))]


class _Begin(NamedTuple):
    """Where a stage begins: a subgraph, the tensor of its logits, its inputs' names by tensor, the states so far."""

    graph: Graph
    logits: int
    names: dict[int, str]
    states: int = 0


class _Stage(NamedTuple):
    """A stage: its operators, and the names of inputs and outputs by tensor; an output may have several."""

    graph: Graph
    inputs: dict[int, str]
    outputs: dict[int, list[str]]


def _check_heads(parsed: Model, names) -> None:
    """Raises if images that stop run further layers with MACs."""
    work = work_of(parsed, names)
    while work.branches:
        ((name, then, otherwise),) = work.branches  # decisions after an exit are inside its IF
        if otherwise.macs:
            raise ValueError(
                f"exit {name!r} has layers of its own that run only for images that stop there, which no stage can "
                "hold; export a network whose exits deciders.Confidence() decides."
            )
        work = then


def _cut(model: Model, begin: _Begin) -> tuple[_Stage, _Begin]:
    """Returns the stage up to the IF that gives the logits, and where the next one begins."""
    graph = begin.graph
    choice = graph.operators[producers(graph)[begin.logits]]
    then, otherwise = (model.subgraphs[branch] for branch in flatbuffer.branches(choice))
    place = choice.outputs.index(begin.logits)
    condition, *operands = choice.inputs
    then.outputs = [then.outputs[place]]
    drop_dead(then)
    read = {t for operator in then.operators for t in operator.inputs}
    graph.operators = [operator for operator in graph.operators if operator is not choice]
    outputs = {_inlined(graph, otherwise, operands, place): ["logits"]}
    outputs.setdefault(condition, []).append(GO_ON)
    names, following, states = dict(begin.names), {}, begin.states
    for inner, outer in zip(then.inputs, operands, strict=True):
        if inner not in read:
            continue
        if outer not in names:
            names[outer] = f"state_{states}"
            states += 1
            outputs.setdefault(outer, []).append(names[outer])
        following[inner] = names[outer]
    return _Stage(graph, begin.names, outputs), _Begin(then, then.outputs[0], following, states)


def _inlined(graph: Graph, branch: Graph, operands: list[int], place: int) -> int:
    """Adds a branch's operators to the graph that holds its IF, in place; returns the tensor of one of its results."""
    here = {-1: -1, **dict(zip(branch.inputs, operands, strict=True))}
    for index, tensor in enumerate(branch.tensors):
        if index not in here:
            here[index] = len(graph.tensors)
            graph.tensors.append(copy.copy(tensor))
    for operator in branch.operators:
        moved = copy.copy(operator)
        moved.inputs, moved.outputs = [here[t] for t in operator.inputs], [here[t] for t in operator.outputs]
        graph.operators.append(moved)
    return here[branch.outputs[place]]


def _packed(model: Model, stage: _Stage, metadata: Mapping[str, Any]) -> bytes:
    """Returns a stage's bytes, verified. The model is the whole one, to whose buffers and codes the stage refers."""
    graph = stage.graph
    graph.outputs = list(stage.outputs)
    drop_dead(graph)
    read = {t for operator in graph.operators for t in operator.inputs}
    inputs = {t: name for t, name in stage.inputs.items() if t in read}
    outputs = [(t, name) for t, names in stage.outputs.items() for name in names]
    made = submodel(model, cut(graph, list(range(len(graph.operators))), list(inputs), [t for t, _ in outputs]))
    set_signature(made, list(inputs.values()), [name for _, name in outputs])
    set_metadata(made, metadata)
    check(made)
    return flatbuffer.pack(made)


def _notes(metadata: Mapping[str, Any], index: int, macs: int, stops_at: int) -> dict[str, Any]:
    """Returns a stage's metadata: the whole model's, but with no decisions and with its own cost."""
    own = {"decisions": [], "exits": [], "units": [], "parts": {}, "cost": [{"macs": macs, "when": []}]}
    return {**metadata, **own, "stage": index, "stops_at": stops_at}
