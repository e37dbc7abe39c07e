"""Cuts a model that may stop at exits into stages without any IF, as several files or as signatures of one."""

import copy
import hashlib
import math
import threading
from typing import Any, NamedTuple

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.branching import decision_of_branch
from keras_dynamic.lite.budget import BUDGET, checked
from keras_dynamic.lite.comparisons import macs_of_stops
from keras_dynamic.lite.flatbuffer import Graph, Model, Operator, cut, drop_dead, submodel
from keras_dynamic.lite.interpreter import decode, encode_image, signatures
from keras_dynamic.lite.metadata import STAGES, metadata_needed, set_metadata, set_signature, signature_names
from keras_dynamic.lite.thresholds import THRESHOLDS, given_or_noted
from keras_dynamic.lite.variants import keep_outputs
from keras_dynamic.lite.verify import Work, check, work_of

GO_ON = "go_on"


class Stopped(NamedTuple):
    """The answer of stages to one image.

    Attributes:
        logits: float32 array, [1, classes].
        exit: index of the exit, or of the cascade's network, at which the image stopped; the head has the last index.
        macs: those of the stages that ran.
    """

    logits: np.ndarray
    exit: int
    macs: int


class Stages:
    """Runs stages on one image, each only if the one before it returns go_on: an IF in the host's own language.

    Threads that share it wait for each other.

    Args:
        models: what `stages` returned, or the bytes of the one file that `join_stages` made of it.
        **interpreter: arguments of Interpreter.

    Raises:
        ValueError: as Interpreter and join_stages do, or if the file has no stages.
    """

    def __init__(self, models: list[bytes] | bytes, **interpreter):
        joined = isinstance(models, bytes)
        self._notes = metadata_needed(models) if joined else _joined_notes([metadata_needed(each) for each in models])
        if STAGES not in self._notes:
            raise ValueError("Expected stages, got a file that has none; cut it by kd.lite.stages.")
        runners = [signatures(each, **interpreter) for each in ([models] if joined else models)]
        self._stages = [runner for each in runners for runner in each.values()]
        self._lock = threading.Lock()

    def run(self, image, thresholds=None, budget=None) -> Stopped:
        """Runs the stages until one stops, or the next one's MACs would exceed the budget.

        Arguments and errors as of MicroInterpreter.run. The first stage always runs.
        """
        most = math.inf if budget is None else checked(budget)
        values: dict[str, Any] = {}
        if thresholds is not None or THRESHOLDS in self._notes:
            values[THRESHOLDS] = given_or_noted(thresholds, self._notes)
        values["image"] = encode_image(image, self._stages[0].inputs["image"], lambda: self._notes)
        exit_, spent = 0, 0
        for number, (stage, macs) in enumerate(zip(self._stages, self._notes["stage_macs"], strict=True)):
            if number and spent + macs > most:
                break
            exit_, spent = self._notes["stops_at"][number], spent + macs
            with self._lock:
                found = stage.run({name: values[name] for name in stage.inputs})
            logits = decode(found["logits"], stage.outputs["logits"])
            if GO_ON not in found or not found[GO_ON].item():
                break
            values |= found
        return Stopped(logits, exit_, spent)


def stages(model: bytes) -> list[bytes]:
    """Cuts a cascade, or a model that decides its exits alone, into models without any IF, for engines that have none.

    The first stage goes up to the first exit, or is the first network, each next one from there to the next, the last
    to the end. A stage's outputs are `logits`, those of the whole model for an image that stops here; `go_on`, int32
    [1], 1 if the next stage runs; and state_0, state_1, ... for later stages. The last one has logits alone. Its inputs
    are those of `image`, `thresholds` and the latest outputs of earlier stages that it reads, under their names. Their
    answers are the whole model's, and their MACs add up to its MACs; each is verified.

        made = kd.lite.stages(model)
        answer = kd.lite.Stages(made).run(image)
        content = kd.lite.join_stages(made)

    Args:
        model: an exported .tflite.

    Returns:
        The stages' bytes, one more than there are exits, or networks behind the first, that are decided.

    Raises:
        ValueError: if the model decides nothing or more than where images stop, has a budget, or an exit's own layers
            run only for images that stop there, as where gates decide.
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
    last_exit = next((index for index, name in enumerate(listed) if constant.get(name) is False), len(listed))
    stops = [*map(listed.index, names), last_exit]
    _check_heads(work_of(parsed, listed))
    main = parsed.subgraphs[0]
    begin = _Begin(main, dict(zip(main.inputs, signature_names(parsed)[0], strict=True)))
    macs = np.diff([0, *macs_of_stops(metadata["cost"], names)]).tolist()
    metadata |= {"stages_of": hashlib.sha256(model).hexdigest()[:16], "stage_count": len(names) + 1}
    found = []
    for name in names:
        cut_at = _cut(parsed, begin, listed.index(name))
        if cut_at is None:
            raise _refused(metadata)
        stage, begin = cut_at
        found.append(stage)
    last = _Stage(begin.graph, begin.names, {begin.graph.outputs[0]: "logits"})
    if not found or _ifs(begin.graph):
        raise _refused(metadata)
    each = zip([*found, last], macs, stops, strict=True)
    return [_packed(parsed, stage, metadata, index, *of) for index, (stage, *of) in enumerate(each)]


def _refused(metadata) -> ValueError:
    return ValueError(
        f"stages are cut from a cascade, or a model that decides its exits alone, got decisions "
        f"{metadata['decisions']} of which exits are {metadata.get('exits', [])}; give a network with exits and a "
        "decider such as deciders.Confidence(), or a cascade of plain ones, with thresholds at which some images stop."
    )


def join_stages(models: list[bytes]) -> bytes:
    """Returns one .tflite of stages, each a signature of it: stage_1, stage_2, ..., in the order in which they run.

    Its metadata has what a host's loop must know: `stages`, the signatures' names; `stage_inputs` and `stage_outputs`,
    names; `stage_macs`; `stops_at`, the index of the exit at which an image stops after each; and `thresholds`, if they
    are an input. Inputs and outputs are those of the files, see `stages`. What several stages hold alike is stored
    once.

    Args:
        models: what `stages` returned, all of them, in order.

    Returns:
        The file's bytes.

    Raises:
        ValueError: if one is no whole .tflite, no stage, missing, out of order, or of another model.
    """
    parsed = [flatbuffer.load(model) for model in models]
    notes = _joined_notes([metadata_needed(each) for each in parsed])
    inputs, outputs = zip(*map(signature_names, parsed), strict=True)
    notes |= {"stage_inputs": inputs, "stage_outputs": outputs}
    made = flatbuffer.joined(dict(zip(notes[STAGES], parsed, strict=True)))
    set_metadata(made, notes)
    return flatbuffer.pack(made)


def _joined_notes(notes: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the metadata of stages as one file, of that of each; raises if they are not all stages of one model."""
    found = [each["stage"] for each in notes if "stage_count" in each]
    if len(found) < len(notes) or not found:
        raise ValueError("Expected the files that kd.lite.stages returned, got others; cut a file with exits by it.")
    if len({each["stages_of"] for each in notes}) > 1:
        raise ValueError("Expected stages of one model, got some of another; give what one call of stages returned.")
    wanted = notes[0]["stage_count"]
    if found != list(range(wanted)):
        raise ValueError(
            f"Expected all {wanted} stages of a model, in order, got those of number {[stage + 1 for stage in found]}."
        )
    apart = ("stage", "stage_count", "stops_at", "cost")
    own = {name: value for name, value in notes[0].items() if name not in apart}
    return own | {
        STAGES: [f"stage_{stage + 1}" for stage in found],
        "stage_macs": [each["cost"][0]["macs"] for each in notes],
        "stops_at": [each["stops_at"] for each in notes],
    }


class _Begin(NamedTuple):
    """Where a stage begins: a graph that gives logits, its inputs' names by tensor, the states so far."""

    graph: Graph
    names: dict[int, str]
    states: int = 0


class _Stage(NamedTuple):
    """A stage: its operators, and the names of inputs and outputs by tensor."""

    graph: Graph
    inputs: dict[int, str]
    outputs: dict[int, str]


def _check_heads(work: Work) -> None:
    """Raises if images that stop run further layers with MACs."""
    for name, then, otherwise in work.branches:
        if otherwise.macs:
            raise ValueError(
                f"exit {name!r} has layers of its own that run only for images that stop there, which no stage can "
                "hold; export a network whose exits deciders.Confidence() decides."
            )
        _check_heads(then)


def _ifs(graph: Graph) -> list[Operator]:
    return [operator for operator in graph.operators if flatbuffer.branches(operator)]


def _cut(model: Model, begin: _Begin, decision: int) -> tuple[_Stage, _Begin] | None:
    """Returns the stage up to a decision, and where the next one begins; None if more is decided for its images."""
    choice = next(iter(_ifs(begin.graph)), None)
    if choice is None or decision_of_branch(model.subgraphs[flatbuffer.branches(choice)[0]].name) != decision:
        return None
    condition = choice.inputs[0]
    stopped, going = (_decided(model, begin.graph, condition, goes_on) for goes_on in (False, True))
    outputs = {stopped.outputs[0]: "logits", _as_number(model, stopped, condition): GO_ON}
    stopped.outputs = [*outputs]
    drop_dead(stopped)
    if _ifs(stopped):
        return None
    behind = set(choice.outputs)
    for operator in begin.graph.operators:
        if behind.intersection(operator.inputs):
            behind.update(operator.outputs)
    done = {t for operator in stopped.operators for t in operator.outputs if t < len(begin.graph.tensors)} - behind
    going.operators = [operator for operator in going.operators if not done.issuperset(operator.outputs)]
    drop_dead(going)
    names, states = dict(begin.names), begin.states
    for tensor in dict.fromkeys(t for operator in going.operators for t in operator.inputs if t in done):
        if tensor not in outputs:
            outputs[tensor] = f"state_{states}"
            states += 1
        names[tensor] = outputs[tensor]
    return _Stage(stopped, begin.names, outputs), _Begin(going, names, states)


def _decided(model: Model, graph: Graph, condition: int, on: bool) -> Graph:
    """Returns a copy of a graph in which a condition, and what follows from it, is known: without the IFs on it."""
    made = copy.copy(graph)
    made.tensors, made.operators = list(graph.tensors), []
    known = {condition: on}
    same: dict[int, int] = {}  # tensors that are another
    for operator in graph.operators:
        inputs, (*_, result) = [same.get(t, t) for t in operator.inputs], operator.outputs
        decided = [t for t in inputs if t in known]
        if flatbuffer.op_name(model, operator) == "LOGICAL_AND" and decided:
            if on:
                same[result] = next((t for t in inputs if t not in known), inputs[0])
            else:
                known[result] = False
        elif flatbuffer.branches(operator) and decided == inputs[:1]:
            branch = model.subgraphs[flatbuffer.branches(operator)[not known[inputs[0]]]]
            same |= zip(operator.outputs, _inlined(made, branch, inputs[1:]), strict=True)
        else:
            kept = copy.copy(operator)
            kept.inputs = inputs
            made.operators.append(kept)
    made.outputs = [same.get(t, t) for t in graph.outputs]
    return made


def _as_number(model: Model, graph: Graph, condition: int) -> int:
    """Adds the cast of a bool to int32, as not every host reads bools; returns its tensor."""
    kinds = flatbuffer.schema().TensorType
    made = flatbuffer.add_tensor(graph, GO_ON, list(graph.tensors[condition].shape), kinds.INT32)
    cast = flatbuffer.new_operator(model, "CAST", [condition], [made], "Cast")
    cast.builtinOptions.inDataType, cast.builtinOptions.outDataType = kinds.BOOL, kinds.INT32
    graph.operators.append(cast)
    return made


def _inlined(graph: Graph, branch: Graph, operands: list[int]) -> list[int]:
    """Adds a branch's operators to a graph, in place; returns the tensors of its results."""
    here = {-1: -1, **dict(zip(branch.inputs, operands, strict=True))}
    for index, tensor in enumerate(branch.tensors):
        if index not in here:
            here[index] = len(graph.tensors)
            graph.tensors.append(copy.copy(tensor))
    for operator in branch.operators:
        moved = copy.copy(operator)
        moved.inputs, moved.outputs = [here[t] for t in operator.inputs], [here[t] for t in operator.outputs]
        graph.operators.append(moved)
    return [here[t] for t in branch.outputs]


def _packed(model: Model, stage: _Stage, metadata, index: int, macs: int, stops_at: int) -> bytes:
    """Returns a stage's bytes, verified. The model is the whole one, to whose buffers and codes the stage refers."""
    graph = stage.graph
    graph.outputs = list(stage.outputs)
    drop_dead(graph)
    read = {t for operator in graph.operators for t in operator.inputs}
    inputs = {t: name for t, name in stage.inputs.items() if t in read}
    made = submodel(model, cut(graph, list(range(len(graph.operators))), list(inputs), graph.outputs))
    if work_of(made, []).macs != macs:  # something that is no exit runs for images that stop, or twice
        raise _refused(metadata)
    set_signature(made, list(inputs.values()), list(stage.outputs.values()))
    own = {"decisions": [], "exits": [], "units": [], "parts": {}, "cost": [{"macs": macs, "when": []}]}
    set_metadata(made, {**metadata, **own, "stage": index, "stops_at": stops_at})
    check(made)
    return flatbuffer.pack(made)
