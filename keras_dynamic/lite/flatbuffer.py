"""Reads and writes .tflite files as Python objects, and edits the graphs of their operators."""

import copy
import functools
import hashlib
import importlib
import io
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

# The generated schema has no usable annotations; its ModelT, SubGraphT, OperatorT and TensorT go by these names.
Model: TypeAlias = Any
Graph: TypeAlias = Any
Operator: TypeAlias = Any
Tensor: TypeAlias = Any

IDENTIFIER = b"TFL3"
DIGEST = "keras_dynamic_digest"
_NO_DIGEST = b"SHA-256 of the file with this text"[:32]  # in its place while the digest is computed
PLAN = "OfflineMemoryAllocation"  # the name of the metadata in which TensorFlow Lite Micro reads a plan of memory
_PLAN_VERSION = 1
ALIGNMENT = 16  # the schema's force_align of buffers, which flatbuffers' Python builder ignores

_SCHEMAS = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")
_BROKEN = (struct.error, ValueError, IndexError, TypeError, AttributeError, OverflowError, MemoryError)


@functools.cache
def schema() -> ModuleType:
    """Returns the generated TFLite schema of ai_edge_litert, or else of tensorflow; raises if neither is installed."""
    for name in _SCHEMAS:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ImportError(
        "Reading a .tflite needs ai_edge_litert or tensorflow, neither is installed; pip install keras_dynamic[tflite]."
    )


@functools.cache
def _names(enumeration: str) -> dict[int, str]:
    """Returns the names of one enumeration of the schema, by value."""
    return {v: k for k, v in vars(getattr(schema(), enumeration)).items() if isinstance(v, int)}


def _name(enumeration: str, value: int) -> str:
    """Returns the name of a value of one enumeration of the schema, or 'UNKNOWN(value)'."""
    return _names(enumeration).get(value, f"UNKNOWN({value})")


def load(model: bytes) -> Model:
    """Parses a .tflite's bytes into the schema's ModelT.

    Index lists become lists of int (empty rather than None) and names become str, so that passes can edit in place. The
    attribute `files` holds the associated files, {name: bytes}, a zip archive after the flatbuffer. `plan` holds the
    offsets of a plan of memory for TensorFlow Lite Micro, None without one; it is taken out of the metadata, as no pass
    keeps it true.

    Raises:
        ValueError: if the bytes are no TFLite flatbuffer, are cut short, or hold what a runtime would crash on, see
            soundness.
    """
    from keras_dynamic.lite.soundness import fault_of  # which reads parsed models by the functions below

    if not isinstance(model, (bytes, bytearray, memoryview)):
        raise ValueError(f"Expected the bytes of a .tflite, got {type(model).__name__}; pass open(path, 'rb').read().")
    data = identified(model)
    try:
        parsed = schema().ModelT.InitFromObj(schema().Model.GetRootAsModel(data, 0))
        _normalise(parsed)
        parsed.files, parsed.plan = files_of(data), _taken_plan(parsed)
        fault = fault_of(parsed)
    except _BROKEN as error:
        fault = str(error) or type(error).__name__
    if fault:
        raise ValueError(
            f"Expected a whole .tflite, got {len(data)} bytes that are cut short, damaged or of a kind that is not "
            f"known here ({fault}); copy the file again or export the model again."
        )
    return parsed


def identified(model) -> bytes:
    """Returns the bytes of a .tflite, or raises a ValueError if they are another file's."""
    data = bytes(model)
    if data[4:8] != IDENTIFIER:
        raise ValueError(
            f"Expected a .tflite (identifier {IDENTIFIER!r}), got {len(data)} bytes with "
            f"{data[4:8]!r} in its place; export the model again."
        )
    return data


def files_of(model: bytes) -> dict[str, bytes]:
    """Returns the files that a .tflite's bytes carry in a zip archive at their end, by name."""
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:  # most have none
        return {}


def _text(name: bytes | str | None) -> str:
    return name.decode() if isinstance(name, bytes) else name or ""


def _indices(values) -> list[int]:
    return [] if values is None else [int(v) for v in values]


def _normalise(model: Model) -> None:
    """Gives lists and strings one form each."""
    for field in ("operatorCodes", "subgraphs", "buffers", "metadata", "signatureDefs"):
        setattr(model, field, list(getattr(model, field) or []))
    for graph in model.subgraphs:
        graph.name = _text(graph.name)
        graph.inputs, graph.outputs = _indices(graph.inputs), _indices(graph.outputs)
        graph.tensors, graph.operators = list(graph.tensors or []), list(graph.operators or [])
        for tensor in graph.tensors:
            tensor.name = _text(tensor.name)
        for operator in graph.operators:
            operator.inputs, operator.outputs = _indices(operator.inputs), _indices(operator.outputs)
    for entry in model.metadata:
        entry.name = _text(entry.name)
    for signature in model.signatureDefs:
        signature.signatureKey = _text(signature.signatureKey)
        signature.inputs, signature.outputs = list(signature.inputs or []), list(signature.outputs or [])
        for value in signature.inputs + signature.outputs:
            value.name = _text(value.name)


def _taken_plan(model: Model) -> list[int] | None:
    """Takes a plan of memory out of the metadata and returns its offsets, None without one."""
    plans = [entry for entry in model.metadata if entry.name == PLAN]
    model.metadata = [entry for entry in model.metadata if entry.name != PLAN]
    if not plans:
        return None
    # Before the offsets are a version, the number of subgraphs and that of offsets.
    return np.asarray(model.buffers[plans[0].buffer].data, np.uint8).view("<i4")[3:].tolist()


def set_plan(model: Model, offsets: list[int]) -> None:
    """Gives a model a plan of memory for TensorFlow Lite Micro: the offset of each tensor, subgraph by subgraph."""
    table = np.array([_PLAN_VERSION, len(model.subgraphs), len(offsets), *offsets], "<i4")
    set_metadata_entry(model, PLAN, table.tobytes())


def pack(model: Model) -> bytes:
    """Returns a ModelT's bytes, with buffers aligned to 16 bytes as runtimes on microcontrollers need them.

    A digest that the model's metadata holds, see add_digest, is set anew.
    """
    import flatbuffers

    for entry in model.metadata:
        if entry.name == DIGEST:
            model.buffers[entry.buffer].data = np.frombuffer(_NO_DIGEST, np.uint8)

    class Builder(flatbuffers.Builder):
        def StartVector(self, elemSize, numElems, alignment):
            return super().StartVector(elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment)

    builder = Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    content = bytes(builder.Output())
    if model.files:
        content = _with_files(content, model.files)
    return content.replace(_NO_DIGEST, hashlib.sha256(content).digest())


def add_digest(model: Model) -> None:
    """Lets `pack` write a digest of the whole file into its metadata, so that a file changed since then is told."""
    set_metadata_entry(model, DIGEST, _NO_DIGEST)


def is_as_packed(content: bytes, model: Model) -> bool | None:
    """Returns whether a file's bytes, given parsed too, fit the digest in its metadata; None if it has none."""
    held = [bytes(model.buffers[entry.buffer].data) for entry in model.metadata if entry.name == DIGEST]
    return hashlib.sha256(content.replace(held[0], _NO_DIGEST)).digest() == held[0] if held else None


def _with_files(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """Returns a .tflite's bytes with a zip archive behind them: uncompressed, as readers on devices need it."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()


def edited(model: bytes, edit: Callable[..., object], *arguments) -> bytes:
    """Returns a .tflite's bytes after edit(parsed model, *arguments), which changes the model in place."""
    parsed = load(model)
    edit(parsed, *arguments)
    return pack(parsed)


def op_name(model: Model, operator: Operator) -> str:
    """Returns an operator's name, such as 'CONV_2D', or 'CUSTOM(name)'."""
    code = model.operatorCodes[operator.opcodeIndex]
    name = _name("BuiltinOperator", max(code.builtinCode, code.deprecatedBuiltinCode))
    return f"CUSTOM({_text(code.customCode)})" if name == "CUSTOM" else name


def op_code(model: Model, name: str, version: int = 1) -> int:
    """Returns the index of a builtin operator's code, added to the model if it has none such."""
    value = getattr(schema().BuiltinOperator, name)
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == value and code.version == version:
            return index
    code = schema().OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = value, min(127, value), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def branches(operator: Operator) -> tuple[int, ...]:
    """Returns the then- and else-subgraph of an IF, () for any other operator."""
    options = operator.builtinOptions
    if operator.builtinOptionsType != schema().BuiltinOptions.IfOptions or options is None:
        return ()
    return options.thenSubgraphIndex, options.elseSubgraphIndex


def options_name(operator: Operator) -> str:
    """Returns the name of the table of an operator's options in the schema, such as 'IfOptions', or 'NONE'."""
    return _name("BuiltinOptions", operator.builtinOptionsType)


def subgraph_problems(model: Model) -> Iterator[str]:
    """Yields what is wrong where not every subgraph but the first is the branch of one IF."""
    uses = Counter(b for graph in model.subgraphs for operator in graph.operators for b in branches(operator))
    for index, graph in enumerate(model.subgraphs):
        wanted = int(index > 0)
        if uses[index] != wanted:
            yield f"Subgraph {index} ({graph.name!r}) must be used {wanted} times, is used {uses[index]} times."


def shape(tensor: Tensor) -> tuple[int, ...]:
    """Returns a tensor's shape, () for a scalar; -1 stands for a size that only the run decides."""
    signature = tensor.shapeSignature
    sizes = signature if signature is not None and len(signature) else tensor.shape
    return tuple(_indices(sizes))


def type_name(tensor: Tensor) -> str:
    """Returns the name of a tensor's element type, such as 'FLOAT32'."""
    return _name("TensorType", tensor.type)


def dtype(tensor: Tensor) -> np.dtype:
    """Returns a tensor's element type for NumPy, or raises a ValueError if NumPy has none such."""
    name = type_name(tensor)
    try:
        return np.dtype(name.lower())
    except TypeError:
        raise ValueError(f"Tensor {tensor.name!r} is of type {name}, which has no counterpart in NumPy.") from None


def is_constant(model: Model, tensor: Tensor) -> bool:
    """Returns whether the file holds a tensor's values."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def constant(model: Model, tensor: Tensor) -> np.ndarray:
    """Returns a constant tensor's values, an array of its shape and type."""
    return np.frombuffer(constant_bytes(model, tensor), dtype(tensor)).reshape(shape(tensor))


def constant_bytes(model: Model, tensor: Tensor) -> bytes:
    """Returns the bytes that the file holds of a tensor's values, none if it is no constant."""
    data = model.buffers[tensor.buffer].data
    return b"" if data is None else np.asarray(data, np.uint8).tobytes()


def add_buffer(model: Model, values: bytes) -> int:
    """Adds a buffer and returns its index."""
    buffer = schema().BufferT()
    buffer.data = np.frombuffer(values, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def set_metadata_entry(model: Model, name: str, values: bytes) -> None:
    """Gives a model an entry of metadata, in place of a former one of this name."""
    added = add_buffer(model, values)
    for entry in model.metadata:
        if entry.name == name:
            model.buffers[entry.buffer] = model.buffers.pop()
            return
    entry = schema().MetadataT()
    entry.name, entry.buffer = name, added
    model.metadata.append(entry)


def add_tensor(graph: Graph, name: str, shape: list[int], kind: int, quantization=None) -> int:
    """Adds a tensor of a schema.TensorType and returns its index."""
    tensor = schema().TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.quantization = name, shape, kind, quantization
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def add_int32(model: Model, graph: Graph, name: str, values) -> int:
    """Adds a constant vector and returns the index of its tensor."""
    made = add_tensor(graph, name, [len(values)], schema().TensorType.INT32)
    graph.tensors[made].buffer = add_buffer(model, np.array(values, np.int32).tobytes())
    return made


def new_operator(model: Model, name: str, inputs, outputs, options: str = "", version: int = 1) -> Operator:
    """Returns a new operator, which the caller adds to a graph; options 'If' stands for the schema's IfOptions."""
    made = schema().OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = op_code(model, name, version), inputs, outputs
    if options:
        made.builtinOptionsType = getattr(schema().BuiltinOptions, f"{options}Options")
        made.builtinOptions = getattr(schema(), f"{options}OptionsT")()
    return made


def quantization(tensor: Tensor) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Returns a tensor's scales and zero points, ((), ()) if it isn't quantised."""
    q = tensor.quantization
    if q is None or q.scale is None:
        return (), ()
    return tuple(float(s) for s in q.scale), tuple(_indices(q.zeroPoint))


Edge = tuple[int, int]  # (operator index, position among its inputs)


def producers(graph: Graph) -> dict[int, int]:
    """Returns the operator that makes each tensor; inputs and constants have none."""
    return {t: k for k, operator in enumerate(graph.operators) for t in operator.outputs}


def guards(graph: Graph, labels: Mapping[Edge, object], needed: Iterable[int] = ()) -> list[frozenset | None]:
    """Returns, per operator, the labels of edges through which every one of its uses passes.

    `needed` are tensors that count as outputs.

    An operator with label L is needed only where an edge labelled L is: work exclusive to a branch. None stands for an
    operator that no output needs; one without outputs acts by itself and counts as an output. The operators must be in
    an order of execution.
    """
    makers = producers(graph)
    found: list[frozenset | None] = [None if operator.outputs else frozenset() for operator in graph.operators]

    def use(tensor: int, through: frozenset) -> None:
        k = makers.get(tensor)
        if k is not None:
            before = found[k]
            found[k] = through if before is None else before & through

    for tensor in (*graph.outputs, *needed):
        use(tensor, frozenset())
    for k in reversed(range(len(graph.operators))):
        own = found[k]
        if own is None:
            continue
        for position, tensor in enumerate(graph.operators[k].inputs):
            use(tensor, own | {labels[k, position]} if (k, position) in labels else own)
    return found


def ancestors(graph: Graph, operator: int) -> set[int]:
    """Returns the operators on which an operator depends, directly or not."""
    makers = producers(graph)
    seen: set[int] = set()
    stack = [operator]
    while stack:
        for tensor in graph.operators[stack.pop()].inputs:
            k = makers.get(tensor)
            if k is not None and k not in seen:
                seen.add(k)
                stack.append(k)
    return seen


def schedule(graph: Graph) -> None:
    """Puts the operators in an order of execution, in place, changing the given order only where it must."""
    makers = producers(graph)
    placed: set[int] = set()
    order: list[int] = []
    for first in range(len(graph.operators)):
        stack = [first]
        while stack:
            k = stack[-1]
            waiting = [makers[t] for t in graph.operators[k].inputs if t in makers and makers[t] not in placed]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            if k not in placed:
                placed.add(k)
                order.append(k)
    graph.operators = [graph.operators[k] for k in order]


def redirect(model: Model, index: int, old: int, new: int) -> None:
    """Lets everything in a subgraph that reads one tensor read another, in place; outputs and signatures too."""
    graph = model.subgraphs[index]
    graph.outputs = [new if t == old else t for t in graph.outputs]
    for operator in graph.operators:
        operator.inputs = [new if t == old else t for t in operator.inputs]
    for signature in model.signatureDefs:
        if signature.subgraphIndex == index:
            for value in signature.outputs:
                value.tensorIndex = new if value.tensorIndex == old else value.tensorIndex


def drop_dead(graph: Graph) -> None:
    """Drops, in place, the operators that no output needs. They must be in an order of execution."""
    needed = guards(graph, {})
    graph.operators = [operator for operator, use in zip(graph.operators, needed, strict=True) if use is not None]


def prune(model: Model) -> None:
    """Drops, in place, the operators, tensors, buffers and operator codes that nothing needs.

    The inputs and outputs of every subgraph stay, and so do subgraphs.
    """
    for index, graph in enumerate(model.subgraphs):
        drop_dead(graph)
        _renumber_tensors(model, index)
    _renumber_buffers(model)
    codes = _kept({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    model.operatorCodes = [model.operatorCodes[c] for c in codes]
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = codes[operator.opcodeIndex]


def _kept(used: Iterable[int]) -> dict[int, int]:
    """Returns the new index of each index in use."""
    return {old: new for new, old in enumerate(sorted(used))}


def _renumber_tensors(model: Model, index: int) -> None:
    graph = model.subgraphs[index]
    used = {t for operator in graph.operators for t in (*operator.inputs, *operator.outputs)}
    new = _kept((used | {*graph.inputs, *graph.outputs}) - {-1})
    graph.tensors = [graph.tensors[t] for t in new]
    graph.inputs, graph.outputs = [new[t] for t in graph.inputs], [new[t] for t in graph.outputs]
    for operator in graph.operators:
        operator.inputs = [new.get(t, -1) for t in operator.inputs]
        operator.outputs = [new.get(t, -1) for t in operator.outputs]
    for signature in model.signatureDefs:
        if signature.subgraphIndex == index:
            for value in signature.inputs + signature.outputs:
                value.tensorIndex = new[value.tensorIndex]


def _renumber_buffers(model: Model) -> None:
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    for tensor in tensors:
        if not is_constant(model, tensor):
            tensor.buffer = 0  # the schema's empty buffer
    legacy = [] if model.metadataBuffer is None else [int(b) for b in model.metadataBuffer]
    new = _kept({0, *legacy, *(t.buffer for t in tensors), *(m.buffer for m in model.metadata)})
    model.buffers = [model.buffers[b] for b in new]
    for holder in [*tensors, *model.metadata]:
        holder.buffer = new[holder.buffer]
    if legacy:
        model.metadataBuffer = [new[b] for b in legacy]


def read_from_outside(model: Model, graph: Graph, inside: list[int], results: list[int]) -> list[int]:
    """Returns the tensors that a branch takes from outside, constants left out, in the order of first use."""
    made = {t for k in inside for t in graph.operators[k].outputs}
    used = [t for k in inside for t in graph.operators[k].inputs] + results
    return [t for t in used if t >= 0 and t not in made and not is_constant(model, graph.tensors[t])]


def cut(graph: Graph, inside: list[int], operands: list[int], results: list[int]) -> Graph:
    """Returns a subgraph of some of a graph's operators, with tensors of its own."""
    branch = schema().SubGraphT()
    branch.tensors, branch.operators = [], []
    own: dict[int, int] = {-1: -1}

    def tensor(index: int) -> int:
        if index not in own:
            own[index] = len(branch.tensors)
            branch.tensors.append(copy.copy(graph.tensors[index]))
        return own[index]

    branch.inputs = [tensor(t) for t in operands]
    for k in inside:
        operator = copy.copy(graph.operators[k])
        operator.inputs, operator.outputs = [tensor(t) for t in operator.inputs], [tensor(t) for t in operator.outputs]
        branch.operators.append(operator)
    branch.outputs = [tensor(t) for t in results]
    return branch


def submodel(model: Model, graph: Graph) -> Model:
    """Returns a model of one subgraph that `cut` has made from another model, which stays as it is."""
    made = copy.copy(model)
    made.subgraphs, made.signatureDefs = [graph], []
    made.metadata = [copy.copy(entry) for entry in model.metadata]
    prune(made)
    return made


def joined(models: Mapping[str, Model]) -> Model:
    """Returns a model of models of one subgraph each, whose signatures get the keys as names, made of their parts.

    Metadata is the caller's to set. Buffers of equal content are one.
    """
    made = copy.copy(next(iter(models.values())))
    made.subgraphs, made.signatureDefs, made.metadata, made.metadataBuffer = [], [], [], None
    made.operatorCodes, made.buffers = [], [schema().BufferT()]
    buffers: dict[bytes, int] = {b"": 0}
    for key, model in models.items():
        (graph,), (signature,) = model.subgraphs, model.signatureDefs
        for tensor in graph.tensors:
            content = constant_bytes(model, tensor)
            if content not in buffers:
                buffers[content] = add_buffer(made, content)
            tensor.buffer = buffers[content]
        for operator in graph.operators:
            operator.opcodeIndex = _same_code(made, model.operatorCodes[operator.opcodeIndex])
        graph.name, signature.signatureKey, signature.subgraphIndex = key, key, len(made.subgraphs)
        made.subgraphs.append(graph)
        made.signatureDefs.append(signature)
    return made


def _same_code(model: Model, code) -> int:
    """Returns the index of an operator code like another model's, added to the model if it has none such."""
    for index, own in enumerate(model.operatorCodes):
        if vars(own) == vars(code):
            return index
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
