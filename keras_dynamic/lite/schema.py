"""TFLite flatbuffers as Python objects: load, pack, operator names and constants."""

import functools
import importlib
import struct
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

# The generated schema has no usable annotations; its ModelT, SubGraphT, OperatorT and TensorT go by these names.
Model: TypeAlias = Any
Graph: TypeAlias = Any
Operator: TypeAlias = Any
Tensor: TypeAlias = Any

IDENTIFIER = b"TFL3"
ALIGNMENT = 16  # the schema's force_align of buffers, which flatbuffers' Python builder ignores

_SCHEMAS = ("ai_edge_litert.schema_py_generated", "tensorflow.lite.python.schema_py_generated")
_BROKEN = (struct.error, ValueError, IndexError, TypeError, AttributeError, OverflowError, MemoryError)


@functools.cache
def schema() -> ModuleType:
    """Returns the generated TFLite schema of ai_edge_litert, or else that of tensorflow.

    Raises:
        ImportError: if neither is installed.
    """
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


def load(model: bytes) -> Model:
    """Parses a .tflite.

    Index lists become lists of int (empty rather than None) and names become str, so that passes can edit in place.

    Args:
        model: the file's bytes.

    Returns:
        The schema's ModelT.

    Raises:
        ValueError: if the bytes are no TFLite flatbuffer, are cut short, or refer to what they do not hold.
    """
    if not isinstance(model, (bytes, bytearray, memoryview)):
        raise ValueError(f"Expected the bytes of a .tflite, got {type(model).__name__}; pass open(path, 'rb').read().")
    data = bytes(model)
    if data[4:8] != IDENTIFIER:
        raise ValueError(
            f"Expected the bytes of a .tflite (identifier {IDENTIFIER!r}), got {len(data)} bytes with "
            f"{data[4:8]!r} in its place; export the model again."
        )
    try:
        parsed = schema().ModelT.InitFromObj(schema().Model.GetRootAsModel(data, 0))
        _normalise(parsed)
        fault = _dangling(parsed)
    except _BROKEN as error:
        fault = str(error) or type(error).__name__
    if fault:
        raise ValueError(
            f"Expected a whole .tflite, got {len(data)} bytes that are cut short or damaged ({fault}); "
            "copy the file again or export the model again."
        )
    return parsed


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


def _dangling(model: Model) -> str:
    """Returns the first reference to something that is not there, or ''."""
    if not model.subgraphs or not model.buffers:
        return "no subgraph or no buffers"
    for g, graph in enumerate(model.subgraphs):
        count = len(graph.tensors)
        used = [*graph.inputs, *graph.outputs]
        for operator in graph.operators:
            if operator.opcodeIndex >= len(model.operatorCodes):
                return f"subgraph {g} names operator code {operator.opcodeIndex} of {len(model.operatorCodes)}"
            used += [*operator.inputs, *operator.outputs]
            for branch in branches(operator):
                if not 0 <= branch < len(model.subgraphs):
                    return f"subgraph {g} names subgraph {branch} of {len(model.subgraphs)}"
        if any(not -1 <= t < count for t in used):
            return f"subgraph {g} names a tensor beyond its {count}"
        if any(t.buffer >= len(model.buffers) for t in graph.tensors):
            return f"subgraph {g} names a buffer beyond the model's {len(model.buffers)}"
    if any(b.offset > 1 for b in model.buffers):
        return "weights outside the flatbuffer, as in files over 2 GB, are not supported"
    return ""


def pack(model: Model) -> bytes:
    """Serialises a ModelT, with buffers aligned to 16 bytes as runtimes on microcontrollers need them.

    Args:
        model: the schema's ModelT.

    Returns:
        The .tflite's bytes.
    """
    import flatbuffers

    class Builder(flatbuffers.Builder):
        def StartVector(self, elemSize, numElems, alignment):
            return super().StartVector(elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment)

    builder = Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def op_name(model: Model, operator: Operator) -> str:
    """Returns an operator's name, such as 'CONV_2D', or 'CUSTOM(name)'."""
    code = model.operatorCodes[operator.opcodeIndex]
    name = _names("BuiltinOperator")[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return f"CUSTOM({_text(code.customCode)})" if name == "CUSTOM" else name


def op_code(model: Model, name: str, version: int = 1) -> int:
    """Returns the index of an operator code, added to the model if it has none such.

    Args:
        model: the model to look in and to add to.
        name: the builtin operator's name.
        version: its version.
    """
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


def shape(tensor: Tensor) -> tuple[int, ...]:
    """Returns a tensor's shape, () for a scalar; -1 stands for a size that only the run decides."""
    signature = tensor.shapeSignature
    sizes = signature if signature is not None and len(signature) else tensor.shape
    return tuple(_indices(sizes))


def type_name(tensor: Tensor) -> str:
    """Returns the name of a tensor's element type, such as 'FLOAT32'."""
    return _names("TensorType")[tensor.type]


def dtype(tensor: Tensor) -> np.dtype:
    """Returns a tensor's element type for NumPy.

    Raises:
        ValueError: if NumPy has none such.
    """
    name = type_name(tensor)
    try:
        return np.dtype(name.lower())
    except TypeError:
        raise ValueError(f"Tensor {tensor.name!r} is of type {name}, which has no counterpart in NumPy.") from None


def is_constant(model: Model, tensor: Tensor) -> bool:
    """Returns whether a tensor's values stand in the file."""
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def constant(model: Model, tensor: Tensor) -> np.ndarray:
    """Returns a constant tensor's values.

    Args:
        model: the model that holds its buffer.
        tensor: a tensor with is_constant true.

    Returns:
        array of the tensor's shape and type.
    """
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return np.frombuffer(data.tobytes(), dtype(tensor)).reshape(shape(tensor))


def add_buffer(model: Model, values: bytes) -> int:
    """Adds a buffer and returns its index."""
    buffer = schema().BufferT()
    buffer.data = np.frombuffer(values, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def quantization(tensor: Tensor) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Returns a tensor's scales and zero points, ((), ()) if it isn't quantised."""
    q = tensor.quantization
    if q is None or q.scale is None:
        return (), ()
    return tuple(float(s) for s in q.scale), tuple(_indices(q.zeroPoint))
