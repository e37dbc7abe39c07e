"""What a .tflite consists of, operator by operator."""

from dataclasses import dataclass

from keras_dynamic.lite import schema
from keras_dynamic.lite.schema import Graph, Model


@dataclass(frozen=True)
class ListedOperator:
    """One operator of a .tflite.

    Attributes:
        subgraph: the name of its subgraph.
        index: its place there.
        name: such as 'CONV_2D'.
        inputs: one text per input: type and shape, such as 'int8[1,32,32,16]' or 'const int32[2]'; '-' if left out.
        outputs: likewise.
        branches: the names of the subgraphs of an IF.
    """

    subgraph: str
    index: int
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    branches: tuple[str, ...]


def list_operators(model: bytes) -> list[ListedOperator]:
    """Returns every operator of every subgraph.

    Args:
        model: the .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite.
    """
    parsed = schema.load(model)
    return [
        ListedOperator(
            graph.name,
            k,
            schema.op_name(parsed, operator),
            tuple(_text(parsed, graph, t) for t in operator.inputs),
            tuple(_text(parsed, graph, t) for t in operator.outputs),
            tuple(parsed.subgraphs[b].name for b in schema.branches(operator)),
        )
        for graph in parsed.subgraphs
        for k, operator in enumerate(graph.operators)
    ]


def operator_table(model: bytes) -> str:
    """Returns the operators as text, one line each, in columns, under the names of their subgraphs.

    Args:
        model: the .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite.
    """
    parsed = schema.load(model)
    listed = list_operators(model)
    width = max((len(row.name) for row in listed), default=0)
    lines = []
    for graph in parsed.subgraphs:
        sides = (", ".join(_text(parsed, graph, t) for t in tensors) for tensors in (graph.inputs, graph.outputs))
        lines.append(f"{graph.name}: {' -> '.join(sides)}")
        for row in (row for row in listed if row.subgraph == graph.name):
            text = f"  {row.index:3d} {row.name:{width}s}  {', '.join(row.inputs)} -> {', '.join(row.outputs)}"
            lines.append(f"{text}  {' | '.join(row.branches)}" if row.branches else text)
    return "\n".join(lines)


def _text(model: Model, graph: Graph, index: int) -> str:
    if index < 0:
        return "-"
    tensor = graph.tensors[index]
    sizes = ",".join(map(str, schema.shape(tensor)))
    return f"{'const ' if schema.is_constant(model, tensor) else ''}{schema.type_name(tensor).lower()}[{sizes}]"
