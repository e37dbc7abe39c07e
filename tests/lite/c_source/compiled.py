"""A model in C, compiled here and called as a library."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np

from keras_dynamic import lite
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.interpreter import encode, encode_image, port_of
from keras_dynamic.lite.metadata import metadata_needed, set_metadata, set_signature, signature_names

FLAGS = (
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-pedantic",
    "-Werror",
    "-fPIC",
    "-shared",
    "-fno-sanitize-recover",
)
# Clang links no messages into a library.
SANITIZERS = {"gcc": ["-fsanitize=undefined"], "clang": ["-fsanitize=undefined", "-fsanitize-trap=undefined"]}


class Compiled:
    """What to_c wrote, run by its `NAME_run`.

    Args:
        content: bytes of a .tflite.
        folder: new folder.
        compiler: of C.
    """

    def __init__(self, content, folder, compiler="gcc"):
        self.written = lite.to_c(content, folder, name="net")
        sources = map(str, sorted((Path(folder) / "src").glob("*.c")))
        library = Path(folder) / "net.so"
        given = ["-I", str(Path(folder) / "src"), *sources, "-lm"]
        command = [compiler, "-O1", *FLAGS, *SANITIZERS[compiler], *given, "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self._library = ctypes.CDLL(str(library))
        parsed = flatbuffer.load(content)
        main, (inputs, outputs) = parsed.subgraphs[0], signature_names(parsed)
        self._metadata = metadata_needed(parsed)
        self.inputs = [port_of(name, main.tensors[t]) for name, t in zip(inputs, main.inputs, strict=True)]
        self.outputs = [port_of(name, main.tensors[t]) for name, t in zip(outputs, main.outputs, strict=True)]

    def run(self, image, **settings):
        """Returns {output: array} for an image, and for further inputs in place of the file's own."""
        fields = [(port.name, _array(port)) for port in self.inputs[1:]] or [("none", ctypes.c_char)]
        made = type("Settings", (ctypes.Structure,), {"_fields_": fields})()
        self._library.net_init(ctypes.byref(made))
        for port in self.inputs[1:]:
            if port.name in settings:
                values = encode(settings[port.name], port)
                ctypes.memmove(getattr(made, port.name), values.tobytes(), values.nbytes)
        results = type(
            "Outputs", (ctypes.Structure,), {"_fields_": [(port.name, _array(port)) for port in self.outputs]}
        )()
        first = self.inputs[0]
        quantised = getattr(image, "dtype", None) == first.dtype == np.int8
        given = np.ascontiguousarray(image if quantised else encode_image(image, first, lambda: self._metadata))
        arena = (ctypes.c_int32 * (self.written.arena_bytes // 4 + 1))()
        pointer = given.ctypes.data_as(ctypes.c_void_p)
        self.label = self._library.net_run(ctypes.byref(made), pointer, arena, ctypes.byref(results))
        return {
            port.name: np.ctypeslib.as_array(getattr(results, port.name)).reshape(port.shape) for port in self.outputs
        }


def _array(port):
    return np.ctypeslib.as_ctypes_type(port.dtype) * int(np.prod(port.shape))


def alone(model, graph, place):
    """Returns the bytes of one operator of a parsed model, None if it reads more than two tensors that are computed.

    A second one becomes an input named 'thresholds', as these and a budget are all that a model may take besides.
    """
    made = graph.operators[place]
    operands = [t for t in made.inputs if t >= 0 and not flatbuffer.is_constant(model, graph.tensors[t])]
    if len(operands) > 2:
        return None
    part = flatbuffer.submodel(model, flatbuffer.cut(graph, [place], operands, made.outputs))
    part.metadata, part.files = [], {}
    outputs = ["logits", *(f"more{k}" for k in range(1, len(made.outputs)))]
    set_signature(part, ["image", "thresholds"][: len(operands)], outputs)
    main = part.subgraphs[0]
    second = [np.zeros(flatbuffer.shape(main.tensors[t])).tolist() for t in main.inputs[1:]]
    set_metadata(
        part,
        {
            "quantize": None if flatbuffer.type_name(main.tensors[main.inputs[0]]) == "FLOAT32" else "int8",
            "decisions": [],
            "cost": [],
            "task": "values",
            **({"thresholds": np.ravel(second[0]).tolist()} if second else {}),
        },
    )
    return flatbuffer.pack(part)
