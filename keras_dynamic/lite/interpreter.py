"""Runs a .tflite with ai_edge_litert, tflite_runtime or tf.lite, whichever is installed."""

import functools
import importlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.budget import BUDGET, in_units
from keras_dynamic.lite.metadata import DEFAULT_KEY, read_metadata
from keras_dynamic.lite.thresholds import THRESHOLDS, as_numbers, given_or_noted
from keras_dynamic.messages import did_you_mean


@dataclass(frozen=True)
class Port:
    """One input or output of a model.

    Attributes:
        name: its name in the signature.
        shape: its shape, batch first.
        dtype: its element type.
        scale: the difference between an integer and the next; 0 if the values aren't quantised.
        zero_point: the integer for 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float = 0.0
    zero_point: int = 0


def port_of(name: str, tensor: flatbuffer.Tensor) -> Port:
    """Returns the port of a parsed model's tensor."""
    scales, zero_points = flatbuffer.quantization(tensor)
    shape, dtype = flatbuffer.shape(tensor), flatbuffer.dtype(tensor)
    return Port(name, shape, dtype, scales[0], zero_points[0]) if scales else Port(name, shape, dtype)


def encode_image(image, port: Port, metadata: Callable = dict) -> np.ndarray:
    """Returns an image as an array of an input's shape and type.

    Where the input is uint8 (export's input_type='uint8'), an image of dtype uint8 stays as it is: its bytes are pixel
    values, which the file itself rescales. Any other numbers are of the range of the model's training data, and are
    quantised.

    Args:
        image: numbers of any type in the range of the model's training data, such as pixel values 0 to 255, or the
            bytes of a uint8 input; of the input's shape, with or without the 1 of the batch.
        port: the input.
        metadata: function that returns the file's metadata, which say whether it normalises pixel values itself.

    Raises:
        ValueError: if the image has another shape, is not finite, is no pixel values where these are taken, or lies
            far outside of what a quantised input holds.
    """
    pixels = np.asarray(image)
    if pixels.shape not in (port.shape, port.shape[1:]):
        raise ValueError(
            f"Input {port.name!r} takes an image of shape {list(port.shape[1:])} or {list(port.shape)}, "
            f"got {list(pixels.shape)}; resize it, or pass one image at a time."
        )
    if pixels.dtype.kind not in "buif" or pixels.dtype == np.int8:
        raise ValueError(
            f"Images must be floats, or integers that are not quantised yet, got {pixels.dtype}; convert them, or pass "
            "quantised values by feed."
        )
    if pixels.dtype == port.dtype == np.uint8:
        return pixels.reshape(port.shape)
    low, high = float(pixels.min()), float(pixels.max())
    largest = float(np.finfo(np.float32).max)
    if not (-largest <= low and high <= largest):
        raise ValueError("Images must be finite numbers, got NaN or infinity; leave such images out.")
    if not (low >= 0 and high <= 255) and (metadata() or {}).get("pixels"):
        raise ValueError(
            f"Pixel values must lie in 0 to 255, got {low:g} to {high:g}; "
            "normalisation is part of the model, pass the image as it is."
        )
    if port.scale and port.dtype.kind in "iu":
        limits = np.iinfo(port.dtype)
        least, most = (port.scale * (limit - port.zero_point) for limit in (limits.min, limits.max))
        if low < least - (most - least) or high > most + (most - least):
            hint = ", or pixel values as uint8" if port.dtype == np.uint8 else ""
            raise ValueError(
                f"Input {port.name!r} holds numbers from {least:g} to {most:g}, as its calibration images, got "
                f"{low:g} to {high:g}; pass images of the same range{hint}."
            )
    return encode(pixels.astype(np.float32).reshape(port.shape), port)


def encode(values, port: Port) -> np.ndarray:
    """Returns numbers as an array of an input's type, quantised if it is; those of its own type stay as they are.

    Raises:
        ValueError: if they have another shape than the input.
    """
    values = np.asarray(values)
    if values.shape != port.shape:
        raise ValueError(f"Input {port.name!r} takes shape {list(port.shape)}, got {list(values.shape)}; reshape it.")
    if not port.scale or values.dtype == port.dtype:
        return values.astype(port.dtype)
    limits = np.iinfo(port.dtype)
    steps = np.round(values.astype(np.float32) / np.float32(port.scale)) + port.zero_point
    return np.clip(steps, limits.min, limits.max).astype(port.dtype)


def decode(values: np.ndarray, port: Port) -> np.ndarray:
    """Returns an output's values as numbers: float32 if it is quantised, else unchanged."""
    if not port.scale:
        return values
    return (values.astype(np.float32) - np.float32(port.zero_point)) * np.float32(port.scale)


BACKENDS = {
    "ai_edge_litert": "ai_edge_litert.interpreter",
    "tflite_runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}

KERNELS = {"auto": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}


class Interpreter:
    """Runs a .tflite on one image at a time.

    Threads may share it for `run`, one call of which waits for the other; to run images at once, give each thread its
    own. `set`, `feed`, `invoke` and `results` keep the inputs in between, so that one thread has to call them in turn.

    Where thresholds are an input (export's thresholds='input') and none are given, those noted in the file's metadata
    are set; where a budget is an input and none is given, it is unlimited.

    Attributes:
        backend: the name of the package that runs it.
        inputs: the inputs by name.
        outputs: the outputs by name.

    Args:
        model: the .tflite's bytes, or the path of the file.
        threads: number of threads, at least 1.
        backend: a name in BACKENDS; None takes the first that is installed.
        kernels: a name in KERNELS: 'auto' runs XNNPACK's, the fastest, where the runtime has them; 'builtin' those of
            the runtime alone; 'reference' the plain ones, which lite.to_c computes bit for bit and TensorFlow Lite
            Micro nearly so: its dense layers may differ by one.

    Raises:
        ValueError: if the bytes are no whole .tflite, or an argument is none of those allowed.
        ImportError: if the backend isn't installed.
    """

    def __init__(
        self,
        model: bytes | str | os.PathLike[str],
        threads: int = 1,
        backend: str | None = None,
        kernels: str = "auto",
    ):
        self.backend, self._model, self._interpreter = _opened(model, threads, backend, kernels)
        self._lock = threading.RLock()  # runtimes refuse to set inputs while they run, and do not wait
        inputs, outputs = self._details()
        self.inputs = {name: _port(name, found) for name, found in inputs.items()}
        self.outputs = {name: _port(name, found) for name, found in outputs.items()}
        self._indices = {name: int(found["index"]) for name, found in {**outputs, **inputs}.items()}

    def _details(self) -> tuple[Mapping[str, dict], Mapping[str, dict]]:
        """Returns the runtime's own description of inputs and outputs, by name."""
        keys = list(self._interpreter.get_signature_list())
        if not keys:
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
            return {d["name"]: d for d in inputs}, {d["name"]: d for d in outputs}
        if len(keys) > 1 and DEFAULT_KEY not in keys:
            raise ValueError(
                f"Expected one signature or one named {DEFAULT_KEY!r}, got {sorted(keys)}; kd.lite.Stages runs stages."
            )
        runner = self._interpreter.get_signature_runner(DEFAULT_KEY if DEFAULT_KEY in keys else keys[0])
        return runner.get_input_details(), runner.get_output_details()

    def set(self, image, **others) -> None:
        """Sets the inputs, which invoke then reads as often as it is called.

        Args:
            image: as of encode_image; for the input named 'image', or the only one.
            others: values of further inputs, by name; `thresholds` and `budget`, in MACs, if they are inputs, may be
                left out or None.

        Raises:
            ValueError: if an input is missing or unknown, the image has another shape, type or range, thresholds are
                of another number or no numbers, or a budget is no number of at least 0.
        """
        first = "image" if "image" in self.inputs else next(iter(self.inputs))
        if first in others:
            raise ValueError(f"Expected inputs {sorted(self.inputs)}, got {first!r} twice; pass the image once.")
        others = self._checked(others, image=first)
        self._feed({first: encode_image(image, self.inputs[first], self._metadata), **others})

    @functools.cached_property
    def _noted(self):
        """The file's metadata, read once, as that takes the whole file."""
        return read_metadata(self._model)

    def _metadata(self):
        """Returns the file's metadata; None where the runtime comes without the package that reads it."""
        try:
            return self._noted
        except ImportError:
            return None

    def feed(self, values: Mapping[str, Any]) -> None:
        """Sets the inputs, by name, of a model that takes no image, such as a later stage; raises as set does.

        Integers of a quantised input's own type stay as they are. `thresholds` and `budget` may be left out.
        """
        self._feed(self._checked(values))

    def _checked(self, values, image=None):
        """Returns values by name, with thresholds; raises if they are not those of all inputs except the image."""
        values = dict(values)
        if THRESHOLDS in self.inputs or THRESHOLDS in values:
            values[THRESHOLDS] = self._thresholds(values.get(THRESHOLDS))
        if BUDGET in self.inputs or values.get(BUDGET) is not None:
            given = values.get(BUDGET)
            values[BUDGET] = in_units(given, None if given is None else self._noted)
        for name in values:
            if name not in self.inputs:
                raise ValueError(
                    f"Expected inputs {sorted(self.inputs)}, got {name!r}{did_you_mean(name, self.inputs)}."
                )
        missing = self.inputs.keys() - values.keys() - {image}
        if missing:
            raise ValueError(f"The model also needs {sorted(missing)}; pass them by name.")
        return values

    def _thresholds(self, values):
        """Returns the thresholds to run with; only the default ones need metadata, which tflite_runtime cannot read."""
        if THRESHOLDS not in self.inputs:
            return given_or_noted(values, None)
        if values is None:
            return given_or_noted(values, self._noted)
        (count,) = self.inputs[THRESHOLDS].shape
        found = as_numbers(values, count)
        if found is None:
            raise ValueError(f"thresholds must be {count} numbers, got {values!r}; infinity lets no image stop.")
        return found

    def _feed(self, values):
        encoded = {name: encode(value, self.inputs[name]) for name, value in values.items()}
        with self._lock:
            for name, value in encoded.items():
                self._interpreter.set_tensor(self._indices[name], value)

    def fill(self) -> None:
        """Sets inputs to zeros, thresholds and budget to the file's own, to time a model of the same work always."""
        others = (name for name in self.inputs if name not in (THRESHOLDS, BUDGET))
        zeros = {name: np.zeros(self.inputs[name].shape, self.inputs[name].dtype) for name in others}
        self.feed(zeros)

    def invoke(self) -> None:
        """Runs the model on the inputs that are set, and does nothing else: this is the call to time.

        Raises:
            ValueError: if the runtime cannot.
        """
        try:
            with self._lock:
                self._interpreter.invoke()
        except RuntimeError as error:
            raise ValueError(f"{self.backend} cannot run the model ({error}); export the model again.") from error

    def results(self, raw: bool = False) -> dict[str, np.ndarray]:
        """Returns {name: array} of the last invoke's outputs, quantised ones as float32, or as integers if raw."""
        with self._lock:
            found = {name: self._interpreter.get_tensor(self._indices[name]) for name in self.outputs}
        return found if raw else {name: decode(values, self.outputs[name]) for name, values in found.items()}

    def run(self, image, raw: bool = False, **others) -> dict[str, np.ndarray]:
        """Sets the inputs, runs the model and returns its outputs. Arguments as in set and results."""
        with self._lock:
            self.set(image, **others)
            self.invoke()
            return self.results(raw)


class Signature:
    """One of a .tflite's signatures, which has the file's weights in common with the others.

    Attributes:
        inputs: the inputs by name.
        outputs: the outputs by name.
    """

    def __init__(self, runner):
        self._runner = runner
        self.inputs = {name: _port(name, found) for name, found in runner.get_input_details().items()}
        self.outputs = {name: _port(name, found) for name, found in runner.get_output_details().items()}

    def run(self, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Returns {output: array} of {input: array}, quantised ones as integers."""
        return self._runner(**{name: encode(value, self.inputs[name]) for name, value in values.items()})


def signatures(model, threads=1, backend=None, kernels="auto") -> dict[str, Signature]:
    """Returns the signatures of a .tflite by name, in the file's order; arguments and errors as of Interpreter."""
    _, _, runtime = _opened(model, threads, backend, kernels)
    return {name: Signature(runtime.get_signature_runner(name)) for name in runtime.get_signature_list()}


def _opened(model, threads, backend, kernels) -> tuple[str, bytes, Any]:
    """Returns the backend's name, a .tflite's bytes, and the backend's interpreter of them."""
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads!r}.")
    backend, package = _load_backend(backend)
    if kernels not in KERNELS:
        raise ValueError(f"kernels must be one of {list(KERNELS)}, got {kernels!r}{did_you_mean(kernels, KERNELS)}.")
    content = model if isinstance(model, (bytes, bytearray, memoryview)) else Path(model).read_bytes()
    data = flatbuffer.identified(content)
    written = written_anew(data)
    try:
        made = package.Interpreter(
            model_content=written,
            num_threads=threads,
            experimental_op_resolver_type=getattr(package.OpResolverType, KERNELS[kernels]),
        )
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"Expected a whole .tflite, got {len(data)} bytes that {backend} cannot run ({error}); "
            "copy the file again or export the model again."
        ) from error
    return backend, data, made


def shapes_of_one(model: bytes) -> dict[int, tuple[int, ...]]:
    """Returns {tensor: shape} of the main graph of a model that takes any batch, for a batch of one.

    Raises:
        ValueError: if no backend can give its inputs these shapes.
        ImportError: if none is installed.
    """
    _, package = _load_backend(None)
    kernels = getattr(package.OpResolverType, KERNELS["builtin"])  # others leave tensors without a shape
    runner = package.Interpreter(model_content=written_anew(model), experimental_op_resolver_type=kernels)
    for found in runner.get_input_details():
        runner.resize_tensor_input(found["index"], [1 if size < 0 else size for size in found["shape_signature"]])
    try:
        runner.allocate_tensors()
        for found in runner.get_input_details():
            runner.set_tensor(found["index"], np.zeros(found["shape"], found["dtype"]))
        runner.invoke()  # only a run knows the shapes that depend on numbers
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"The model takes no batch of one image ({error}); export it again.") from error
    return {found["index"]: tuple(map(int, found["shape"])) for found in runner.get_tensor_details()}


def written_anew(content: bytes) -> bytes:
    """Returns a .tflite's bytes parsed and written anew, for a runtime that would crash on a damaged file.

    Without the package that parses them they are returned as they are.

    Raises:
        ValueError: if they are no whole .tflite.
    """
    try:
        return flatbuffer.pack(flatbuffer.load(content))
    except ImportError:
        return content


def _port(name: str, details: Mapping[str, Any]) -> Port:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return Port(name, shape, np.dtype(details["dtype"]), float(scale), int(zero_point))


def _load_backend(name: str | None) -> tuple[str, ModuleType]:
    """Returns the name and the module of the backend, or of the first that is installed."""
    if name is not None and name not in BACKENDS:
        raise ValueError(
            f"backend must be one of {list(BACKENDS)} or None, got {name!r}{did_you_mean(name, BACKENDS)}."
        )
    wanted = BACKENDS if name is None else {name: BACKENDS[name]}
    for package, module in wanted.items():
        try:
            return package, importlib.import_module(module)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != package:
                raise
    raise ImportError(
        f"Nothing here runs a .tflite, expected {' or '.join(wanted)} to be installed; "
        "pip install keras_dynamic[tflite]."
    )
