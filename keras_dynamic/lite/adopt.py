"""Gives a .tflite from elsewhere the names and the metadata by which this package's tools know a file."""

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.flatbuffer import Model
from keras_dynamic.lite.metadata import METADATA_NAME, metadata_of, set_metadata, set_signature
from keras_dynamic.lite.verify import check, set_shapes_of_one, work_of

_CHANGING = ("QUANTIZE", "DEQUANTIZE")  # types alone


def adopt(content: bytes) -> bytes:
    """Makes a .tflite of a plain network, from whatever tool, one that every function here takes beside exported ones.

    Its input is named `image`, its output `logits`, for a batch of one; a softmax or sigmoid at the end of a classifier
    is taken off, so that the output is logits as in exported files. All else stays as it is, so that it runs as before:
    a static network for the benchmark and the web page, C for it by to_c.

        static = kd.lite.adopt(Path("plain.tflite").read_bytes())

    Args:
        content: the bytes of a .tflite with one input, one output and no conditions; a file that export has written is
            returned as it is.

    Returns:
        The new .tflite's bytes.

    Raises:
        ValueError: if the bytes are no whole .tflite, it has several subgraphs, inputs or outputs, takes several images
            at once, or gives integers such as a class's number, or verify finds something wrong, such as an operator
            whose MACs are unknown.
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
    shape = flatbuffer.shape(main.tensors[main.inputs[0]])
    if shape[:1] != (1,):
        raise ValueError(f"Expected an input for a batch of one image, got {list(shape)}; convert the model for that.")
    for tensor in main.tensors:
        tensor.shapeSignature = None
    _set_reshapes(model)
    end, logits = _end(model)
    task, model.signatureDefs = _task(model, end), []
    if task != "values":
        main.outputs = [logits]
    flatbuffer.prune(model)
    set_signature(model, ["image"], ["logits"])
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
            "task": task,
            "normalization": None,
        },
    )
    check(model)
    return flatbuffer.pack(model)


def _set_reshapes(model: Model) -> None:
    """Gives reshapings constant shapes, those of one image, in place of computed ones."""
    main = model.subgraphs[0]
    for operator in main.operators:
        computed = [t for t in operator.inputs[1:] if not flatbuffer.is_constant(model, main.tensors[t])]
        if computed and flatbuffer.op_name(model, operator) == "RESHAPE":
            made = main.tensors[operator.outputs[0]]
            operator.inputs[1] = flatbuffer.add_int32(model, main, f"{made.name}/shape", flatbuffer.shape(made))


def _end(model: Model) -> tuple[str | None, int]:
    """Returns 'SOFTMAX' or 'LOGISTIC' and its operand, if the file ends so, perhaps before a change of type.

    Otherwise None and the output.
    """
    main = model.subgraphs[0]
    makers, last = flatbuffer.producers(main), main.outputs[0]
    if last in makers and flatbuffer.op_name(model, main.operators[makers[last]]) in _CHANGING:
        last = main.operators[makers[last]].inputs[0]
    name = flatbuffer.op_name(model, main.operators[makers[last]]) if last in makers else None
    if name not in ("SOFTMAX", "LOGISTIC"):
        return None, main.outputs[0]
    return name, main.operators[makers[last]].inputs[0]


def _task(model: Model, end: str | None) -> str:
    """Returns what the logits of a file mean that ended so, one of ops.TASKS."""
    main = model.subgraphs[0]
    image, logits = (main.tensors[ends[0]] for ends in (main.inputs, main.outputs))
    if flatbuffer.type_name(logits) in ("INT32", "INT64", "BOOL"):
        raise ValueError(
            f"Expected numbers for each class as the output, got {flatbuffer.type_name(logits).lower()} "
            f"{list(flatbuffer.shape(logits))}; convert the model without what follows its logits, such as an argmax."
        )
    if len(flatbuffer.shape(logits)) != 2 or flatbuffer.shape(logits) == flatbuffer.shape(image):
        return "values"
    return "labels" if end == "LOGISTIC" and flatbuffer.shape(logits)[-1] > 1 else "classes"


def _precision(model: Model) -> str | None:
    """Returns the `quantize` of export that a file is like; of integers that export does not write, their type."""
    main = model.subgraphs[0]
    computing = [each for each in main.operators if flatbuffer.op_name(model, each) not in _CHANGING]
    read = {t for operator in computing for t in operator.inputs if t >= 0}
    weights = {flatbuffer.type_name(main.tensors[t]) for t in read if flatbuffer.is_constant(model, main.tensors[t])}
    made = [flatbuffer.type_name(main.tensors[operator.outputs[0]]) for operator in computing]
    if made and "FLOAT32" not in made:
        return made[-1].lower()
    halved = any(flatbuffer.type_name(tensor) == "FLOAT16" for tensor in main.tensors)
    return "dynamic" if "INT8" in weights else "float16" if halved else None
