"""What was run: config, versions, commit, seed, arguments and metrics, in the run's folder."""

import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np

from keras_dynamic.files import locked, plain, read_json, remove_partial, write_json

_OTHER = "no run wrote it, so give another --workdir"


class RunRecord:
    """The files run.json and config.json of a run's folder. Nothing is written outside of `running`.

    Args:
        workdir: the folder.
        config: the resolved config as a plain dictionary.

    Raises:
        ValueError: if the folder holds the run of another config, or files of these names that no run wrote.
        NotADirectoryError: if the folder is a file.
    """

    def __init__(self, workdir, config: dict):
        self.workdir = Path(workdir)
        if self.workdir.exists() and not self.workdir.is_dir():
            raise NotADirectoryError(f"workdir {str(workdir)!r} is a file; give a folder, which may be missing.")
        self.path = self.workdir / "run.json"
        self.config = json.loads(json.dumps(config, default=plain))
        earlier = _read(self.workdir / "config.json")
        if earlier is not None and earlier != self.config:
            keys = ", ".join(_differences(earlier, self.config)[:5])
            raise ValueError(
                f"workdir {str(self.workdir)!r} holds the run of another config (different: {keys}); "
                "give another --workdir."
            )
        self._content = _read(self.path) or {"started": _now(), "epochs": [], "figures": {}, "seconds": 0.0}
        if not {"epochs", "figures", "seconds"} <= self._content.keys():
            raise ValueError(f"{self.path} lacks what a run writes; {_OTHER}.")
        self._before, self._clock = self._content["seconds"], time.monotonic()

    @contextlib.contextmanager
    def running(self):
        """Makes the folder and writes what is run: config, arguments, commit, machine, versions and seed.

        While the block lasts no other run can write there, and what killed ones left half-written is deleted.

        Raises:
            BlockingIOError: if another run writes there.
        """
        self.workdir.mkdir(parents=True, exist_ok=True)
        with locked(self.workdir):
            remove_partial(self.workdir)
            write_json(self.workdir / "config.json", self.config)
            made = {"argv": sys.argv, "commit": commit(), "machine": machine(), "versions": versions()}
            self._content |= made | {"seed": self.config.get("seed"), "config": self.config}
            self.save()
            yield

    @property
    def finished(self) -> bool:
        """Whether the run was trained to its end."""
        return "finished" in self._content

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, over all its resumptions."""
        return self._before + time.monotonic() - self._clock

    @property
    def epochs(self) -> list[dict]:
        """Metrics per epoch, so far."""
        return self._content["epochs"]

    @property
    def figures(self) -> dict:
        """Final figures."""
        return self._content["figures"]

    def add_epoch(self, epoch: int, metrics: dict):
        """Notes the metrics {name: number} of an epoch, from 0, in place of it and of later ones, and saves."""
        del self._content["epochs"][epoch:]
        self._content["epochs"].append({name: float(value) for name, value in metrics.items()})
        self.save()

    def finish(self, figures: dict):
        """Notes that training has ended, with its figures {name: number}, and saves."""
        self._content |= {"finished": _now(), "figures": json.loads(json.dumps(figures, default=plain))}
        self.save()

    def save(self):
        """Writes run.json."""
        self._content["seconds"] = round(self.seconds, 1)
        write_json(self.path, self._content)


def _read(path):
    """Returns a JSON object of the run's folder, None if there is no such file."""
    if not path.exists():
        return None
    return read_json(path, _OTHER)


def commit() -> str:
    """Returns the commit of the sources, with '+' if they were changed since, or '' outside their repository."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "train_main.py").exists():  # installed; whatever repository is around it is another one
        return ""
    describe = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        return subprocess.run(describe, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine() -> str:
    """Returns the processor's kind and the number of cores."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {os.cpu_count()} cores"


def versions() -> dict:
    """Returns the versions of Python, NumPy, Keras and the backend in use."""
    backend = keras.backend.backend()
    found = {"python": platform.python_version(), "numpy": np.__version__, "keras": keras.__version__}
    return {**found, backend: sys.modules[backend].__version__ if backend in sys.modules else "?"}


def _now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _differences(one, other, prefix=""):
    keys = []
    for key in sorted({*one, *other}):
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            keys += _differences(a, b, f"{prefix}{key}.")
        elif a != b:
            keys.append(prefix + key)
    return keys
