"""Runs a .tflite on TensorFlow Lite Micro's interpreter, as a microcontroller does."""

import contextlib
import io
import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.budget import BUDGET, in_units
from keras_dynamic.lite.interpreter import decode, encode, encode_image, port_of
from keras_dynamic.lite.metadata import metadata_of, signature_names
from keras_dynamic.lite.thresholds import THRESHOLDS, given_or_noted


class MicroInterpreter:
    """A .tflite on TensorFlow Lite Micro, one image at a time; threads that share it wait for each other.

    Attributes:
        input: the input for the image.
        outputs: the outputs, in the model's order.

    Args:
        model: the .tflite's bytes; one input, the image, and perhaps a budget and thresholds.
        arena_bytes: the memory for tensors and bookkeeping; None gives more than any plan can need.

    Raises:
        ValueError: if the bytes are no whole .tflite, the model has further inputs, or the runtime refuses it: it lacks
            an operator, or the arena is too small.
        ImportError: if tflite_micro isn't installed.
    """

    def __init__(self, model: bytes, arena_bytes: int | None = None):
        parsed = flatbuffer.load(model)
        main = parsed.subgraphs[0]
        inputs, outputs = signature_names(parsed)
        if not set(inputs[1:]) <= {BUDGET, THRESHOLDS}:
            raise ValueError(
                f"Expected a model with one input, the image, and perhaps {BUDGET!r} and {THRESHOLDS!r}, got {inputs}."
            )
        ports = [port_of(name, main.tensors[t]) for name, t in zip(inputs, main.inputs, strict=True)]
        self.input, *self._further = ports
        self._metadata = metadata_of(parsed)
        self.outputs = [port_of(name, main.tensors[t]) for name, t in zip(outputs, main.outputs, strict=True)]
        if parsed.plan is not None:
            flatbuffer.set_plan(parsed, parsed.plan)
        self._model = flatbuffer.pack(parsed)  # written anew, as the runtime would crash on a damaged file
        tensors = [tensor for graph in parsed.subgraphs for tensor in graph.tensors]
        self._generous = 2**20 + sum(1024 + 8 * math.prod(flatbuffer.shape(tensor)) for tensor in tensors)
        self._lock = threading.Lock()
        try:
            self._interpreter = _allocate(self._model, arena_bytes or self._generous)
        except _Refused as error:
            raise ValueError(
                f"TensorFlow Lite Micro refuses the model ({error}); "
                "give it a larger arena, or avoid the operator that it lacks."
            ) from error

    def run(self, image, raw: bool = False, thresholds=None, budget=None) -> dict[str, np.ndarray]:
        """Runs the model on an image.

        Args:
            image: as of Interpreter.set.
            raw: whether quantised outputs stay integers.
            thresholds: if they are an input; None takes those noted in the file.
            budget: MACs, if it is an input; None is unlimited.

        Returns:
            As Interpreter.run.

        Raises:
            ValueError: if the image has another shape, type or range, or thresholds are given but no input, of another
                number, no numbers, or out of their measure's range; likewise a budget; or if the runtime cannot run it.
        """
        names, values = [port.name for port in self._further], {}
        if THRESHOLDS in names or thresholds is not None:
            values[THRESHOLDS] = given_or_noted(thresholds, self._metadata)
        if BUDGET in names or budget is not None:
            values[BUDGET] = in_units(budget, self._metadata)
        encoded = [encode_image(image, self.input, lambda: self._metadata)]
        encoded += [encode(values[port.name], port) for port in self._further]
        with self._lock:
            found = self._run(encoded)
        return found if raw else {port.name: decode(found[port.name], port) for port in self.outputs}

    def _run(self, encoded):
        """Returns {name: integers, or numbers where the output is not quantised} of all inputs, in their order."""
        # The arena's plan gives the inputs' memory to later tensors: they must be set before every invoke.
        for place, value in enumerate(encoded):
            self._interpreter.set_input(value, place)
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise ValueError(
                f"TensorFlow Lite Micro cannot run the model ({error}); export the model again."
            ) from error
        return {port.name: np.array(self._interpreter.get_output(i)) for i, port in enumerate(self.outputs)}

    def arena_bytes(self) -> int:
        """Returns the smallest arena that the runtime accepts here, to 64 bytes; 4-byte pointers need less."""
        too_small, enough = 0, self._generous
        while enough - too_small > 64:
            tried = (too_small + enough) // 2
            try:
                _allocate(self._model, tried)
            except _Refused:
                too_small = tried
            else:
                enough = tried
        return enough


class _Refused(Exception):
    """The runtime refuses the model, or an arena of this size."""


def _allocate(model: bytes, arena_bytes: int) -> Any:
    """Returns the runtime's interpreter with its tensors laid out, or raises _Refused with the runtime's message."""
    runtime = _load_runtime()
    try:
        with native_output() as output:
            return runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
    except RuntimeError as error:
        raise _Refused(f"{error}: {' '.join(output.getvalue().split())}") from error


def _load_runtime() -> Any:
    try:
        from tflite_micro import runtime
    except ModuleNotFoundError as error:
        if error.name != "tflite_micro":
            raise
        raise ImportError(
            "Running on TensorFlow Lite Micro needs tflite_micro, which is not installed; "
            "pip install --pre keras_dynamic[micro]."
        ) from None
    return runtime


# Files 1 and 2 are the whole process's: two threads that redirect them at once would restore each other's.
_REDIRECTION = threading.RLock()


@contextlib.contextmanager
def native_output() -> Iterator[io.StringIO]:
    """Collects the stdout and stderr of native code, which Python's redirection misses.

    Threads wait here for each other; what others print meanwhile is collected too.
    """
    with _REDIRECTION, _redirected() as output:
        yield output


@contextlib.contextmanager
def _redirected() -> Iterator[io.StringIO]:
    output = io.StringIO()
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as file:
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield output
        finally:
            for descriptor, number in zip(kept, (1, 2), strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
            file.seek(0)
            output.write(file.read().decode(errors="replace"))
