"""float32 inputs and outputs around an int8 file."""

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Graph, Model, schedule


def float_io(content: bytes) -> bytes:
    """Gives an int8 .tflite inputs and outputs of float32, for runtimes that take no others, such as LiteRT.js.

    The image is quantised, and logits and other quantised outputs become numbers, inside the file; all else stays. An
    image is then given as the model takes it in Keras, pixels as 0 to 255 if it normalises them itself. Of a file of
    stages, what each hands to the next becomes float32 as well.

    Args:
        content: the bytes of an int8 .tflite, with inputs of int8 or uint8; of another nothing changes.

    Returns:
        The new .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite.
    """
    return flatbuffer.edited(content, _surround)


def _surround(model: Model) -> None:
    for index in {0, *(signature.subgraphIndex for signature in model.signatureDefs)}:
        signatures = [signature for signature in model.signatureDefs if signature.subgraphIndex == index]
        _surround_graph(model, model.subgraphs[index], signatures)


def _surround_graph(model: Model, graph: Graph, signatures) -> None:
    kinds = flatbuffer.schema().TensorType
    for ends, kind in ((graph.inputs, "QUANTIZE"), (graph.outputs, "DEQUANTIZE")):
        for place, inside in enumerate(ends):
            tensor = graph.tensors[inside]
            if not flatbuffer.quantization(tensor)[0]:
                continue
            name = f"{tensor.name}_float32"
            outside = flatbuffer.add_tensor(graph, name, list(tensor.shape), kinds.FLOAT32)
            graph.tensors[outside].shapeSignature = tensor.shapeSignature
            source, result = (outside, inside) if kind == "QUANTIZE" else (inside, outside)
            graph.operators.append(flatbuffer.new_operator(model, kind, [source], [result], kind.capitalize()))
            ends[place] = outside
            for signature in signatures:
                for named in (*signature.inputs, *signature.outputs):
                    named.tensorIndex = outside if named.tensorIndex == inside else named.tensorIndex
    schedule(graph)
