"""float32 inputs and outputs around an int8 file."""

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Model, schedule


def float_io(content: bytes) -> bytes:
    """Gives an int8 .tflite inputs and outputs of float32, for runtimes that take no others, such as LiteRT.js.

    The image is quantised, and logits and other quantised outputs become numbers, inside the file; all else stays. An
    image is then given as the model takes it in Keras, pixels as 0 to 255 if it normalises them itself.

    Args:
        content: the bytes of an int8 .tflite, with inputs of int8 or uint8; of another nothing changes.

    Returns:
        The new .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite.
    """
    return flatbuffer.edited(content, _surround)


def _surround(model: Model) -> None:
    main, kinds = model.subgraphs[0], flatbuffer.schema().TensorType
    for ends, kind in ((main.inputs, "QUANTIZE"), (main.outputs, "DEQUANTIZE")):
        for place, inside in enumerate(ends):
            tensor = main.tensors[inside]
            if not flatbuffer.quantization(tensor)[0]:
                continue
            name = f"{tensor.name}_float32"
            outside = flatbuffer.add_tensor(main, name, list(tensor.shape), kinds.FLOAT32)
            main.tensors[outside].shapeSignature = tensor.shapeSignature
            source, result = (outside, inside) if kind == "QUANTIZE" else (inside, outside)
            main.operators.append(flatbuffer.new_operator(model, kind, [source], [result], kind.capitalize()))
            ends[place] = outside
            for signature in model.signatureDefs:
                for named in (*signature.inputs, *signature.outputs):
                    named.tensorIndex = outside if named.tensorIndex == inside else named.tensorIndex
    schedule(main)
