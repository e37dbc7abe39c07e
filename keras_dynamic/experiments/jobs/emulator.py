"""What a dynamic network's C costs on emulated Cortex-M: instructions, memory, code, against its static network's."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import keras
import numpy as np

from keras_dynamic import lite, zoo
from keras_dynamic.data import shipped
from keras_dynamic.experiments.records import write_record
from keras_dynamic.lite.interpreter import encode_image
from keras_dynamic.models import cascade

_SAID = re.compile(r"(\S+) class (.*?)(?: path (\d+))?(?: MACs (\d+))? instructions (\d+)")
_ARENA = re.compile(r"^arena (\d+) bytes$", re.MULTILINE)
_AT_ONCE = 12  # images that one run of an emulator takes


def emulated(config, workdir, data_dir=None, record=None) -> dict:
    """Runs a dynamic int8 network and its static one as C on emulated machines, and holds answers against LiteRT's.

    The config has model, names in the zoo: one network that decides, or several that are a cascade; static, of one that
    runs whole, or the path of its .keras file or int8 .tflite, from whatever tool; macs, the mean to which a cascade's
    thresholds are fitted; machines, of 'm3', 'm4' and 'm55'; images, how many of the shipped test images; tflm, whether
    TensorFlow Lite Micro runs the same, see lite.firmware: the environment names its library for each machine,
    TFLM_LIB_M3 and so on, TFLM_INCLUDE, its headers' folders with spaces between, and TFLM_FLAGS; cmsis_nn, whether C
    runs with CMSIS-NN's kernels too, on the machines for which CMSIS_NN_LIB_M55 and so on name its library, and
    CMSIS_NN_DIR its folder; targets and seed.

    Returns:
        {figure: number}: ram_bytes, of the arena, ram_static_bytes and ram_ratio; constant_bytes; macs_share; and for
        each machine instructions, instructions_static, instructions_share, its least and most over images,
        instructions_over_macs, the share over that of the MACs, code_bytes, of the program without weights, C's library
        and the example with it, and equal, the share of images whose logits, decisions and MACs are those of LiteRT's
        reference kernels. With TensorFlow Lite Micro: tflm_instructions, tflm_instructions_share and tflm_equal,
        instructions_over_tflm, code_over_tflm and ram_over_tflm, of the arena that its interpreter takes there. With
        CMSIS-NN: cmsis_nn_instructions, cmsis_nn_instructions_share, cmsis_nn_equal, cmsis_nn_over_tflm.

    Raises:
        ValueError: if the environment lacks what tflm or cmsis_nn need, or a program does not build.
    """
    start, images = time.monotonic(), shipped()
    fast_machines = [each for each in config.machines if _CMSIS_NN_LIB + each.upper() in os.environ]
    for machine in config.machines if config.tflm else ():
        tflm(machine)  # raises, before anything long
    for machine in (fast_machines or config.machines) if config.cmsis_nn else ():
        cmsis_nn(machine)
    model = model_of(config, images)
    x = images.x_test[: config.images]
    static = static_file(config.static, images)
    dynamic = lite.export(model, "int8", images.x_heldout, ("logits", "decisions", "macs"))
    files, folder = {"dynamic": dynamic, "static": static}, Path(workdir)
    one, other = (_Program(files[name], folder / name, x, config.machines, lite.to_c) for name in files)
    figures = {
        "ram_bytes": one.written.arena_bytes,
        "ram_static_bytes": other.written.arena_bytes,
        "ram_ratio": one.written.arena_bytes / other.written.arena_bytes,
        "constant_bytes": one.written.constant_bytes,
        "macs_mean": one.macs.mean(),
        "macs_share": one.macs.mean() / other.macs.mean(),
    }
    for machine in config.machines:
        own, whole = one.instructions[machine], other.instructions[machine].mean()
        share = own.mean() / whole
        found = {
            "instructions": own.mean(),
            "instructions_static": whole,
            "instructions_share": share,
            "instructions_share_least": own.min() / whole,
            "instructions_share_most": own.max() / whole,
            "instructions_over_macs": share / figures["macs_share"],
            "code_bytes": one.code[machine],
            "equal": min(one.equal[machine], other.equal[machine]),
        }
        figures |= {f"{name}_{machine}": float(value) for name, value in found.items()}
    if config.tflm:
        micro = [
            _Program(files[name], folder / f"tflm_{name}", x, config.machines, lite.firmware, tflm) for name in files
        ]
        figures |= _beside_tflm(config.machines, one, *micro)
    if config.cmsis_nn:
        fast, fast_static = (
            _Program(files[name], folder / f"cmsis_nn_{name}", x, fast_machines, lite.to_c, cmsis_nn) for name in files
        )
        figures |= _with_cmsis_nn(fast_machines, fast, fast_static, figures)
    print("\n".join(f"{name} {value:.6g}" for name, value in figures.items()), flush=True)
    if record:
        name, data = f"{model.name} as C, int8, beside {config.static}", f"{len(x)} shipped test images"
        targets = config.targets.to_dict()
        if config.tflm:  # on the M3 its kernels are the reference's
            bounds = {"instructions_over_tflm_m3": "<= 0.8", "code_over_tflm_m3": "<= 0.3"}
            targets |= {name: bound for name, bound in bounds.items() if name in figures}
        targets |= {f"cmsis_nn_equal_{machine}": ">= 1" for machine in fast_machines if config.cmsis_nn}
        write_record(record, "edge", name, data, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


def _beside_tflm(machines, one, micro, micro_static) -> dict:
    """Returns what TensorFlow Lite Micro takes for the dynamic network and the static one, and C's share of it."""
    figures: dict[str, float] = {}
    for machine in machines:
        own, whole = micro.instructions[machine].mean(), micro_static.instructions[machine].mean()
        found = {
            "tflm_instructions": own,
            "tflm_instructions_share": own / whole,
            "tflm_equal": min(micro.equal[machine], micro_static.equal[machine]),
            "instructions_over_tflm": one.instructions[machine].mean() / own,
            "code_over_tflm": one.code[machine] / micro.code[machine],
            "ram_over_tflm": one.written.arena_bytes / micro.arena[machine],
        }
        figures |= {f"{name}_{machine}": float(value) for name, value in found.items()}
    return figures


def _with_cmsis_nn(machines, fast, fast_static, figures) -> dict:
    """Returns what C takes with CMSIS-NN's kernels."""
    found: dict[str, float] = {}
    for machine in machines:
        own, whole = fast.instructions[machine].mean(), fast_static.instructions[machine].mean()
        found[f"cmsis_nn_instructions_{machine}"] = float(own)
        found[f"cmsis_nn_instructions_share_{machine}"] = float(own / whole)
        found[f"cmsis_nn_equal_{machine}"] = float(min(fast.equal[machine], fast_static.equal[machine]))
        if f"tflm_instructions_{machine}" in figures:
            found[f"cmsis_nn_over_tflm_{machine}"] = float(own / figures[f"tflm_instructions_{machine}"])
    return found


_CMSIS_NN_LIB = "CMSIS_NN_LIB_"


def cmsis_nn(machine) -> list[str]:
    """Returns what `make` needs to know of the user's CMSIS-NN."""
    return _named("cmsis_nn", {"CMSIS_NN_LIB": _CMSIS_NN_LIB + machine.upper(), "CMSIS_NN": "CMSIS_NN_DIR"})


def tflm(machine) -> list[str]:
    """Returns what `make` needs to know of the user's library of TensorFlow Lite Micro."""
    names = {"TFLM_LIB": f"TFLM_LIB_{machine.upper()}", "TFLM_INCLUDE": "TFLM_INCLUDE"}
    return [*_named("tflm", names), f"TFLM_FLAGS={os.environ.get('TFLM_FLAGS', '')}"]


def _named(setting, names) -> list[str]:
    """Returns NAME=value of variables of the environment, or raises a ValueError if one is not set."""
    missing = [name for name in names.values() if name not in os.environ]
    if missing:
        raise ValueError(
            f"config.{setting} needs {' and '.join(missing)} in the environment; see docs/on_the_device.md."
        )
    return [
        f"{name}={' '.join(map(os.path.abspath, os.environ[source].split()))}" for name, source in names.items()
    ]  # `make` runs in another folder


def model_of(config, images):
    """Returns the zoo's network that a config names, or the cascade of several, its thresholds fitted."""
    if len(config.model) == 1:
        return zoo.load(config.model[0])
    model = cascade([zoo.load(name) for name in config.model])
    model.fit_temperatures(images.x_heldout, images.y_heldout)
    model.fit_thresholds(images.x_heldout, images.y_heldout, macs=config.macs)
    return model


def static_file(name, images) -> bytes:
    """Returns the int8 .tflite of a static network: one of the zoo, a .keras file, or a .tflite as it is."""
    if Path(name).suffix == ".tflite":
        return lite.adopt(Path(name).read_bytes())
    model = keras.models.load_model(name, compile=False) if Path(name).suffix == ".keras" else zoo.load(name)
    return lite.export(model, "int8", images.x_heldout)


class _Program:
    """A network's C, or its program for TensorFlow Lite Micro, and what it did on each machine."""

    def __init__(self, content, folder, x, machines, write, brought=lambda machine: []):
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
        self.written, self._brought = write(content, folder), brought
        content = getattr(self.written, "content", content)  # firmware computes means in other steps
        reference, metadata = lite.Interpreter(content, kernels="reference"), lite.read_metadata(content) or {}
        port, wanted, macs = reference.inputs["image"], [], []
        for place, image in enumerate(x):
            (folder / f"{place}.bin").write_bytes(encode_image(image, port, lambda: metadata).tobytes())
            found = reference.run(image, raw=True)
            if "macs" not in found:  # a static network has no path
                wanted.append((found["logits"].ravel().tolist(), "", 0))
                macs.append(lite.count_macs(content, {}))
                continue
            macs.append(int(found["macs"].item()) * metadata["macs_unit"])
            path = "".join(map(str, found["decisions"].ravel()))
            wanted.append((found["logits"].ravel().tolist(), path, macs[-1]))
        self.macs = np.array(macs)
        self.instructions, self.equal, self.code, self.arena = {}, {}, {}, {}
        for machine in machines:
            said = [line for part in range(0, len(x), _AT_ONCE) for line in self._run(machine, part, len(x))]
            self.instructions[machine] = np.array([int(line[4]) for line in said])
            answers = [
                (list(map(int, line[1].split(" logits ")[1].split())), line[2] or "", int(line[3] or 0))
                for line in said
            ]
            self.equal[machine] = np.mean([own == other for own, other in zip(answers, wanted, strict=True)])
            self.code[machine] = self._code(machine)

    def _run(self, machine, first, count):
        names = " ".join(f"{place}.bin" for place in range(first, min(first + _AT_ONCE, count)))
        text = self._made(["make", "-s", f"run-{machine}", f"IMAGES={names}", *self._brought(machine)])
        for taken in _ARENA.findall(text):
            self.arena[machine] = int(taken)
        return [match.groups() for match in map(_SAID.match, text.splitlines()) if match]

    def _made(self, command):
        done = subprocess.run(command, cwd=self.written.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
        return done.stdout

    def _code(self, machine):
        sections = self._made(["arm-none-eabi-size", "-A", f"{machine}.elf"])
        return sum(map(int, re.findall(r"^\.text\s+(\d+)", sections, re.MULTILINE)))
