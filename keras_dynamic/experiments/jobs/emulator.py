"""What a dynamic network's C costs on emulated Cortex-M: instructions, memory, code, against its static network's."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np

from keras_dynamic import lite, zoo
from keras_dynamic.data import shipped
from keras_dynamic.experiments.records import write_record
from keras_dynamic.lite.interpreter import encode_image
from keras_dynamic.models import cascade

_SAID = re.compile(r"(\S+) class (.*?)(?: path (\d+))?(?: MACs (\d+))? instructions (\d+)")
_AT_ONCE = 12  # images that one run of an emulator takes


def emulated(config, workdir, data_dir=None, record=None) -> dict:
    """Runs a dynamic int8 network and its static one as C on emulated machines, and holds answers against LiteRT's.

    The config has model, names in the zoo: one network that decides, or several that are a cascade; static, of one that
    runs whole; macs, the mean to which a cascade's thresholds are fitted; machines, of 'm3', 'm4' and 'm55'; images,
    how many of the shipped test images; targets and seed.

    Returns:
        {figure: number}: ram_bytes, of the arena, ram_static_bytes and ram_ratio; constant_bytes; macs_share; and for
        each machine instructions, instructions_static, instructions_share, its least and most over images,
        instructions_over_macs, the share over that of the MACs, code_bytes, of the program without weights, C's library
        and the example with it, and equal, the share of images whose logits, decisions and MACs are those of LiteRT's
        reference kernels.
    """
    start, images = time.time(), shipped()
    model = _model(config, images)
    x = images.x_test[: config.images]
    static = lite.export(zoo.load(config.static), "int8", images.x_heldout)
    dynamic = lite.export(model, "int8", images.x_heldout, ("logits", "decisions", "macs"))
    runs = {
        name: _Program(content, Path(workdir) / name, x, config.machines)
        for name, content in (("static", static), ("dynamic", dynamic))
    }
    one, other = runs["dynamic"], runs["static"]
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
    print("\n".join(f"{name} {value:.6g}" for name, value in figures.items()), flush=True)
    if record:
        name, data = f"{model.name} as C, int8, beside {config.static}", f"{len(x)} shipped test images"
        targets = config.targets.to_dict()
        write_record(record, "edge", name, data, config.to_dict(), figures, targets, time.time() - start)
    return figures


def _model(config, images):
    if len(config.model) == 1:
        return zoo.load(config.model[0])
    model = cascade([zoo.load(name) for name in config.model])
    model.fit_temperatures(images.x_heldout, images.y_heldout)
    model.fit_thresholds(images.x_heldout, images.y_heldout, macs=config.macs)
    return model


class _Program:
    """A network's C and what it did on each machine."""

    def __init__(self, content, folder, x, machines):
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier run
        self.written = lite.to_c(content, folder)
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
        self.instructions, self.equal, self.code = {}, {}, {}
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
        text = self._made(["make", "-s", f"run-{machine}", f"IMAGES={names}"])
        return [match.groups() for match in map(_SAID.match, text.splitlines()) if match]

    def _made(self, command):
        done = subprocess.run(command, cwd=self.written.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
        return done.stdout

    def _code(self, machine):
        sections = self._made(["arm-none-eabi-size", "-A", f"{machine}.elf"])
        return sum(map(int, re.findall(r"^\.text\s+(\d+)", sections, re.MULTILINE)))
