"""Damages .tflite files of this library's and counts what it makes of them.

    python tools/fuzz.py --mutations=10000

Half of the files are damaged in their bytes, half in a field after parsing. Each is then read in a child process with
limits of time and memory: verify, and if that finds nothing, LiteRT, TensorFlow Lite Micro, C and ONNX. A damaged file
may be refused by a ValueError, or answer as before. What else happens is counted: 'crash' of the process, 'hang',
'traceback' of another error, and 'other' answers that nothing refused. Where --digest=renewed, the digest of each file
is set anew, as by somebody who means harm: what such files answer is then theirs to say, and only counted.
"""

import collections
import json
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from absl import app, flags

import keras_dynamic as kd
from keras_dynamic.lite import flatbuffer

_MUTATIONS = flags.DEFINE_integer("mutations", 10_000, "damaged files", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "seed of the damages", lower_bound=0)
_DIGEST = flags.DEFINE_enum("digest", "renewed", ["kept", "renewed"], "what becomes of the digest in the files")
_KEEP = flags.DEFINE_string("keep", None, "folder that the files which broke something are written to")
_JSON = flags.DEFINE_string("json", None, "file that the counts are written to")

OUTCOMES = ("refused", "same", "other", "traceback", "hang", "crash")
_SECONDS, _MEMORY = 20, 6 << 30  # for one file
_NUMBERS = (-(2**31), -1, 0, 1, 2, 3, 7, 127, 255, 65536, 2**31 - 1)
_SCALES = (0.0, -1.0, 1e-30, 1e-3, 1.0, 1e30, float("inf"), float("nan"))


def corpus() -> dict[str, bytes]:
    """Returns small files of several kinds, by name."""
    images = kd.data.shipped()
    keras.utils.set_random_seed(0)
    network = kd.zoo.load("resnet8_cifar10_45k")
    grouped = kd.transform.group_channels(network, {"stage3": 16})
    gated = kd.layers.DynamicModel(
        grouped.chain,
        kd.deciders.CombinedDecider([kd.deciders.PerUnitGates(seed=0), kd.deciders.ChannelGates(seed=0)]),
    )
    gated.build((None, 32, 32, 3))
    cascade = kd.models.cascade([network, kd.zoo.load("resnet14_cifar10_45k")])
    cascade.fit_thresholds(images.x_heldout, images.y_heldout, macs=20e6)
    outputs = ("logits", "decisions", "macs")
    files = {}
    for name, model, more in (("gated", gated, {}), ("cascade", cascade, {"thresholds": "input"})):
        for precision in (None, "int8"):
            calibration = images.x_heldout[:40] if precision or more else None
            content = kd.lite.export(model, precision, calibration, outputs=outputs, **more)
            files[f"{name}_{precision or 'float32'}"] = content
    return files


def answers(content: bytes, image: np.ndarray) -> dict[str, list]:
    """Returns what a file answers, by runtime and output; raises a ValueError where one of them refuses it."""
    verified = kd.lite.verify(content)
    found = {"litert": kd.lite.Interpreter(content).run(image)}
    kd.lite.operator_table(content)
    found["micro"] = kd.lite.MicroInterpreter(content).run(image)
    with tempfile.TemporaryDirectory() as folder:
        if verified.quantize:
            kd.lite.to_c(content, f"{folder}/c")
        else:
            kd.lite.to_onnx(content)
    return {f"{name} {key}": np.round(value, 4).tolist() for name, each in found.items() for key, value in each.items()}


def damaged_bytes(rng: random.Random, content: bytes) -> bytes:
    """Returns a file with some bytes changed, cut out, written twice, or its end cut off."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place, kind = rng.randrange(len(made)), rng.randrange(6)
        if rng.random() < 0.5:  # tables stand at the end of what flatbuffers writes, weights do not
            place = len(made) - 1 - min(rng.randrange(20_000), len(made) - 1)
        if kind == 0:
            made[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            made[place] = rng.randrange(256)
        elif kind in (2, 3):
            place -= place % 4
            made[place : place + 4] = (rng.choice(_NUMBERS) % 2**32).to_bytes(4, "little")
        elif kind == 4:
            length = rng.randrange(1, 64)
            made[place : place + length] = made[place : place + length] * rng.choice((0, 2))
        else:
            del made[max(8, place) :]
    return bytes(made)


def damaged_field(rng: random.Random, model) -> None:
    """Changes one or two fields of a parsed model, in place."""
    for _ in range(rng.choice((1, 1, 2))):
        rng.choice((_operand, _operand, _option, _tensor, _tensor, _scale, _values, _ends, _code, _order, _text))(
            rng, model
        )


def _graph(rng, model):
    return rng.choice(model.subgraphs)


def _operator(rng, model):
    return rng.choice([operator for graph in model.subgraphs for operator in graph.operators])


def _number(rng, value):
    return rng.choice((*_NUMBERS, value + 1, value - 1, rng.randrange(64)))


def _operand(rng, model):
    operator = _operator(rng, model)
    sides = rng.choice((operator.inputs, operator.inputs, operator.outputs))
    kind = rng.randrange(4)
    if kind == 0 and sides:
        sides.pop(rng.randrange(len(sides)))
    elif kind == 1:
        sides.insert(rng.randrange(len(sides) + 1), rng.randrange(-1, 40))
    elif sides:
        sides[rng.randrange(len(sides))] = rng.choice((-1, rng.randrange(-1, 200)))


def _option(rng, model):
    operator = _operator(rng, model)
    if operator.builtinOptions is None or rng.random() < 0.1:
        operator.builtinOptionsType = rng.randrange(120)
        return
    fields = [key for key, value in vars(operator.builtinOptions).items() if isinstance(value, (int, float))]
    if fields:
        key = rng.choice(fields)
        value = getattr(operator.builtinOptions, key)
        new = not value if isinstance(value, bool) else _number(rng, int(value))
        setattr(operator.builtinOptions, key, new)


def _tensor(rng, model):
    tensor = rng.choice(_graph(rng, model).tensors)
    kind = rng.randrange(5)
    if kind == 0:
        tensor.type = rng.randrange(20)
    elif kind == 1:
        tensor.buffer = rng.randrange(len(model.buffers) + 2)
    elif kind == 2:
        tensor.isVariable = not tensor.isVariable
    else:
        sizes = [int(size) for size in ([] if tensor.shape is None else tensor.shape)]
        if sizes and rng.random() < 0.8:
            place = rng.randrange(len(sizes))
            sizes[place] = _number(rng, sizes[place])
        else:
            sizes = sizes[1:] if rng.random() < 0.5 else [*sizes, 1]
        tensor.shape, tensor.shapeSignature = sizes, None


def _scale(rng, model):
    tensors = [t for graph in model.subgraphs for t in graph.tensors if flatbuffer.quantization(t)[0]]
    if not tensors:
        return
    quantization = rng.choice(tensors).quantization
    kind, count = rng.randrange(4), len(quantization.scale)
    if kind == 0:
        quantization.scale = [rng.choice(_SCALES)] * count
    elif kind == 1:
        quantization.zeroPoint = [_number(rng, 0)] * count
    elif kind == 2:
        quantization.quantizedDimension = _number(rng, 0)
    else:
        quantization.scale = [float(scale) for scale in quantization.scale] * rng.choice((0, 2))


def _values(rng, model):
    held = [buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data)]
    buffer = rng.choice(sorted(held, key=lambda each: len(each.data))[: max(1, len(held) // rng.choice((1, 2)))])
    data = bytearray(bytes(buffer.data))
    if rng.random() < 0.6:
        place = rng.randrange(len(data)) // 4 * 4
        data[place : place + 4] = (rng.choice(_NUMBERS) % 2**32).to_bytes(4, "little")
    else:
        data = data[: rng.randrange(len(data))] if rng.random() < 0.5 else data + b"\1" * rng.randrange(1, 9)
    buffer.data = np.frombuffer(bytes(data), np.uint8)


def _ends(rng, model):
    graph = _graph(rng, model)
    ends = rng.choice((graph.inputs, graph.outputs))
    if ends and rng.random() < 0.8:
        ends[rng.randrange(len(ends))] = rng.randrange(-1, len(graph.tensors) + 2)
    else:
        ends.append(rng.randrange(len(graph.tensors)))


def _code(rng, model):
    code = rng.choice(model.operatorCodes)
    code.builtinCode = rng.randrange(200)
    code.deprecatedBuiltinCode = min(127, code.builtinCode)


def _order(rng, model):
    graph = rng.choice([graph for graph in model.subgraphs if graph.operators])
    one, other = rng.randrange(len(graph.operators)), rng.randrange(len(graph.operators))
    graph.operators[one], graph.operators[other] = graph.operators[other], graph.operators[one]


def _text(rng, model):
    """Swaps the names of subgraphs, or changes the metadata."""
    if rng.random() < 0.3:
        one, other = _graph(rng, model), _graph(rng, model)
        one.name, other.name = other.name, one.name
        return
    buffer = next(model.buffers[entry.buffer] for entry in model.metadata if entry.name == "keras_dynamic")
    metadata = json.loads(bytes(buffer.data))
    holder, key = rng.choice(list(_places(metadata)))
    holder[key] = rng.choice((None, -1, 0, 3, 1e300, "x", [], {}, [1, "2"], {"macs": 3}, float("nan"), holder[key]))
    buffer.data = np.frombuffer(json.dumps(metadata).encode(), np.uint8)


def _places(value):
    """Yields every (dictionary or list, key) inside of a JSON value."""
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in keys:
        yield value, key
        yield from _places(inner)


def damaged(seed: str, content: bytes, renewed: bool) -> bytes:
    """Returns a damaged file that a seed determines."""
    rng = random.Random(seed)
    if rng.random() < 0.5:
        made = damaged_bytes(rng, content)
        if not renewed:
            return made
        try:
            return flatbuffer.pack(flatbuffer.load(made))
        except ValueError:
            return made
    while True:
        model = flatbuffer.load(content)
        damaged_field(rng, model)
        try:
            made = flatbuffer.pack(model)
            break
        except (TypeError, AttributeError, ValueError, struct.error):  # numbers and types that no file can hold
            continue
    if renewed:
        return made
    held = next(bytes(model.buffers[entry.buffer].data) for entry in model.metadata if entry.name == flatbuffer.DIGEST)
    return made.replace(held, b"another digest".ljust(len(held)))


def outcome(content: bytes, image, expected) -> str:
    """Returns one of OUTCOMES, and prints the traceback of what is none of the library's errors."""
    try:
        return "same" if answers(content, image) == expected else "other"
    except ValueError:
        return "refused"
    except Exception:  # noqa: BLE001 - whatever else comes through is what this looks for
        traceback.print_exc()
        return "traceback"


def in_child(contents: list[bytes], image, expected) -> list[str]:
    """Returns the outcome of each file, in order, up to the first that ends or hangs the child process."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for content in contents:
            signal.alarm(_SECONDS)
            os.write(writer, bytes([OUTCOMES.index(outcome(content, image, expected))]))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        found = [OUTCOMES[number] for number in pipe.read()]
    _, status = os.waitpid(child, 0)
    if len(found) < len(contents):
        found.append("hang" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM else "crash")
    return found


def main(argv):
    """Damages, reads, counts; exits with 1 if anything broke."""
    if len(argv) > 1:
        sys.exit(f"fuzz: unknown arguments {argv[1:]}; flags start with --.")
    files, renewed, start = corpus(), _DIGEST.value == "renewed", time.monotonic()
    image = kd.data.shipped().x_test[0]
    expected = {name: answers(content, image) for name, content in files.items()}
    counts: collections.Counter = collections.Counter()
    names = sorted(files)
    for first in range(0, _MUTATIONS.value, 100):
        name = names[first // 100 % len(names)]
        seeds = [f"{_SEED.value} {number}" for number in range(first, min(first + 100, _MUTATIONS.value))]
        made = [damaged(seed, files[name], renewed) for seed in seeds]
        found: list[str] = []
        while len(found) < len(made):
            found += in_child(made[len(found) :], image, expected[name])
        counts.update(found)
        for seed, content, each in zip(seeds, made, found, strict=True):
            if each in ("traceback", "hang", "crash") or (each == "other" and not renewed):
                print(f"{each}: {name}, seed {seed!r}", flush=True)
                if _KEEP.value:
                    Path(_KEEP.value).mkdir(parents=True, exist_ok=True)
                    (Path(_KEEP.value) / f"{each}_{name}_{seed.replace(' ', '_')}.tflite").write_bytes(content)
    figures = {each: counts[each] for each in OUTCOMES} | {"seconds": round(time.monotonic() - start, 1)}
    print(json.dumps(figures))
    if _JSON.value:
        Path(_JSON.value).write_text(json.dumps(figures) + "\n", encoding="utf-8")
    broken = sum(counts[each] for each in OUTCOMES[3:]) + (0 if renewed else counts["other"])
    sys.exit(f"fuzz: {broken} of {_MUTATIONS.value} damaged files broke something." if broken else 0)


if __name__ == "__main__":
    app.run(main)
