"""The names of a model's inputs and outputs."""

from collections.abc import Sequence

from keras_dynamic.lite import schema
from keras_dynamic.lite.schema import Model

DEFAULT_KEY = "serving_default"


def write_signature(model: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Returns the model with one signature, 'serving_default', that names its inputs and outputs.

    Args:
        model: the .tflite's bytes.
        inputs: one name per input, in the model's order.
        outputs: one name per output, in the model's order.

    Returns:
        The new .tflite's bytes.

    Raises:
        ValueError: if there are more or fewer names than inputs or outputs, or a name stands twice.
    """
    parsed = schema.load(model)
    main = parsed.subgraphs[0]
    signature = schema.schema().SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = DEFAULT_KEY, 0
    signature.inputs = _named("input", inputs, main.inputs)
    signature.outputs = _named("output", outputs, main.outputs)
    parsed.signatureDefs = [signature]
    return schema.pack(parsed)


def _named(kind: str, names: Sequence[str], tensors: list[int]) -> list:
    if len(names) != len(tensors) or len(set(names)) != len(names):
        raise ValueError(
            f"Expected one name for each of the model's {len(tensors)} {kind}s, all different, got {list(names)}."
        )
    entries = []
    for name, tensor in zip(names, tensors, strict=True):
        entry = schema.schema().TensorMapT()
        entry.name, entry.tensorIndex = name, tensor
        entries.append(entry)
    return entries


def signature_names(model: Model) -> tuple[list[str], list[str]]:
    """Returns the names of the first subgraph's inputs and outputs, in its order.

    Args:
        model: a parsed model.

    Returns:
        The names in its signature; where it has none, those of the tensors.
    """
    main = model.subgraphs[0]
    for signature in model.signatureDefs:
        if signature.subgraphIndex == 0:
            inputs = {value.tensorIndex: value.name for value in signature.inputs}
            outputs = {value.tensorIndex: value.name for value in signature.outputs}
            break
    else:
        inputs, outputs = {}, {}
    return (
        [inputs.get(t, main.tensors[t].name) for t in main.inputs],
        [outputs.get(t, main.tensors[t].name) for t in main.outputs],
    )
