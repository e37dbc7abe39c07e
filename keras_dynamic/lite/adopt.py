"""Gives a .tflite from elsewhere the names and the metadata by which this package's tools know a file."""

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Model
from keras_dynamic.lite.metadata import METADATA_NAME, metadata_of, set_metadata, set_signature
from keras_dynamic.lite.verify import check, set_shapes_of_one, work_of

_CHANGING = ("QUANTIZE", "DEQUANTIZE")  # types alone


def adopt(content: bytes) -> bytes:
    """Makes a .tflite of a plain network, from whatever tool, one that every function here takes beside exported ones.

    Its input is named `image`, its output `logits`, for a batch of one; a softmax or sigmoid at its end is taken off,
    so that the output is logits as in exported files. All else stays as it is, so that it runs as before: a static
    network for the benchmark and the web page, C for it by to_c.

        static = kd.lite.adopt(Path("plain.tflite").read_bytes())

    Args:
        content: the bytes of a .tflite with one input, one output and no conditions; a file that export has written is
            returned as it is.

    Returns:
        The new .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite, it has several subgraphs, inputs or outputs, or verify finds
            something wrong, such as an operator whose MACs are unknown.
    """
    model = flatbuffer.load(content)
    if metadata_of(model) is not None:
        return content
    main = model.subgraphs[0]
    if len(model.subgraphs) > 1 or (len(main.inputs), len(main.outputs)) != (1, 1):
        raise ValueError(
            f"Expected a plain network of one input and one output, got {len(model.subgraphs)} subgraphs, "
            f"{len(main.inputs)} inputs and {len(main.outputs)} outputs, and no {METADATA_NAME!r} metadata; export it "
            "with keras_dynamic."
        )
    set_shapes_of_one(model, content)
    for tensor in main.tensors:
        tensor.shapeSignature = None
    _set_reshapes(model)
    _take_off_end(model)
    flatbuffer.prune(model)
    set_signature(model, ["image"], ["logits"])
    taken, given = (flatbuffer.shape(main.tensors[ends[0]]) for ends in (main.inputs, main.outputs))
    set_metadata(
        model,
        {
            "version": 1,
            "decisions": [],
            "constant": {},
            "exits": [],
            "units": [],
            "cost": [{"macs": work_of(model, []).macs, "when": [], "unless": []}],
            "parts": {},
            "names": [],
            "macs_unit": 1,
            "notes": [],
            "quantize": _precision(model),
            "pixels": False,
            "task": "classes" if len(given) == 2 and given != taken else "values",
            "normalization": None,
        },
    )
    check(model)
    return flatbuffer.pack(model)


def _set_reshapes(model: Model) -> None:
    """Gives reshapings of computed shapes constant ones, those of one image."""
    main = model.subgraphs[0]
    for operator in main.operators:
        if flatbuffer.op_name(model, operator) == "RESHAPE" and len(operator.inputs) > 1:
            if not flatbuffer.is_constant(model, main.tensors[operator.inputs[1]]):
                made = main.tensors[operator.outputs[0]]
                operator.inputs[1] = flatbuffer.add_int32(
                    model, main, f"{made.name}/shape", flatbuffer.shape(made)
                )


def _take_off_end(model: Model) -> None:
    """Makes the operand of a softmax or sigmoid at the end, perhaps behind a change of type, the output."""
    main = model.subgraphs[0]
    makers = flatbuffer.producers(main)
    output = main.outputs[0]
    last = makers.get(output)
    if last is not None and flatbuffer.op_name(model, main.operators[last]) in _CHANGING:
        last = makers.get(main.operators[last].inputs[0])
    if last is None or flatbuffer.op_name(model, main.operators[last]) not in ("SOFTMAX", "LOGISTIC"):
        return
    main.outputs, model.signatureDefs = [main.operators[last].inputs[0]], []


def _precision(model: Model) -> str | None:
    """Returns the `quantize` of export that a file is like; of integers that export does not write, their type."""
    main = model.subgraphs[0]
    computing = [each for each in main.operators if flatbuffer.op_name(model, each) not in _CHANGING]
    read = {t for operator in computing for t in operator.inputs if t >= 0}
    weights = {flatbuffer.type_name(main.tensors[t]) for t in read if flatbuffer.is_constant(model, main.tensors[t])}
    made = [flatbuffer.type_name(main.tensors[operator.outputs[0]]) for operator in computing]
    if "FLOAT32" not in made:
        return made[-1].lower()
    halved = any(flatbuffer.type_name(tensor) == "FLOAT16" for tensor in main.tensors)
    return "dynamic" if "INT8" in weights else "float16" if halved else None
