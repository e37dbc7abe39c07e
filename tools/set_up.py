"""Builds the virtual environment and installs the project into it, unless it is complete: set_up.py VENV EXTRAS

The Makefile runs this before every target. An environment is complete when its marker file, which is written last, is
there and every file of its packages has the size that pip recorded; the check takes half a second. An environment that
is unfinished, damaged or moved is rebuilt. A lock makes a second `make` wait while a first one installs.
"""

import contextlib
import csv
import fcntl
import hashlib
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

PROJECT = Path(__file__).resolve().parent.parent
MARKER = ".installed"
CREATE_VENV = ["-I", "-m", "venv", "--clear"]


def main(venv: Path, extras: str) -> None:
    """Builds, updates or rebuilds the environment at venv, or leaves it as it is.

    Args:
        venv: an absolute path.
        extras: names of setup.py's extras, joined by commas.
    """
    with _locked(venv):
        damage = damage_of(venv)
        if damage is None and _read_marker(venv)["inputs"] == _inputs():
            return
        if damage and venv.is_symlink():
            _fail(f"{venv} is a link to {venv.resolve()}, which {damage}; remove the link.")
        if damage and venv.exists():
            print(f"set-up: {venv} {damage}; rebuilding it", flush=True)
        # Where packages installed over older ones do not work, those in an empty environment may.
        for from_scratch in [True] if damage else [False, True]:
            if from_scratch:
                _create(venv)
            _install(venv, extras)
            failure = _import_failure(venv, extras)
            if not failure:
                _write_marker(venv)
                return
        _fail(
            f"a package was installed but cannot be imported ({failure}); run `make clean` and the same command again."
        )


@contextlib.contextmanager
def _locked(venv: Path) -> Iterator[None]:
    with open(f"{venv}.lock", "a") as file:
        # pip inherits the lock: where this process is killed but pip runs on, the next one waits for pip.
        os.set_inheritable(file.fileno(), True)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("set-up: waiting for another set-up of the same environment to finish", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def damage_of(venv: Path) -> str | None:
    """Returns what is wrong with the environment at venv, as the end of a sentence, or None if it is complete."""
    marker = _read_marker(venv)
    if marker.get("project") != str(PROJECT):
        return "is not finished" if not marker else "belongs to another folder"
    if not _is_own_python(venv):
        return "has no Python of its own"
    packages = _packages(venv)
    for name in marker["packages"]:
        if name not in packages:
            return f"has lost the package {name}"
    for record in packages.values():
        site = record.parent.parent
        try:
            with record.open(newline="", encoding="utf-8") as file:
                for path, _, size in csv.reader(file):
                    if size and os.stat(os.path.join(site, path)).st_size != int(size):
                        return f"has a changed file {path}"
        except OSError as error:
            return f"has lost the file {error.filename}"
    return None


def _packages(venv: Path) -> dict[str, Path]:
    """Returns pip's list of files by the name of the package that they belong to."""
    folders = venv.glob("lib/python3*/site-packages/*.dist-info")
    return {folder.name.partition("-")[0]: folder / "RECORD" for folder in folders}


def _is_own_python(venv: Path) -> bool:
    """Returns whether venv/bin/python runs and installs into venv; without a pyvenv.cfg it is the machine's Python."""
    try:
        settings = (venv / "pyvenv.cfg").read_text(encoding="utf-8")
        command = [str(venv / "bin/python"), "-I", "-c", "import sys; print(sys.prefix)"]
        prefix = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return False
    return "include-system-site-packages = false" in settings and os.path.realpath(prefix) == os.path.realpath(venv)


def _read_marker(venv: Path) -> dict[str, Any]:
    try:
        return json.loads((venv / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _write_marker(venv: Path) -> None:
    marker = {"project": str(PROJECT), "inputs": _inputs(), "packages": sorted(_packages(venv))}
    part = venv / f"{MARKER}.part"
    part.write_text(json.dumps(marker, indent=1), encoding="utf-8")
    part.replace(venv / MARKER)


def _inputs() -> str:
    """Returns a digest of the files that decide what is installed."""
    texts = [(PROJECT / name).read_bytes() for name in ("setup.py", "requirements_lock.txt")]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _create(venv: Path) -> None:
    """Creates an empty environment in place of what is at venv."""
    python = Path(sys.executable)
    if python.is_relative_to(venv):
        python = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    if subprocess.run([python, "-I", "-c", "import ensurepip"], stderr=subprocess.DEVNULL).returncode:
        _install_venv_package(python)
    (venv / MARKER).unlink(missing_ok=True)
    _run([str(python), *CREATE_VENV, str(venv)])


def _install_venv_package(python: Path) -> None:
    """Installs Debian's package of ensurepip, without which venv makes no usable environment."""
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    try:
        if os.geteuid() != 0:
            raise PermissionError
        print(f"set-up: installing {package}", flush=True)
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    except (OSError, subprocess.CalledProcessError):
        _fail(
            f"{python} has no ensurepip, which a virtual environment needs; "
            f"install the package {package} and run the same command again."
        )


def _install(venv: Path, extras: str) -> None:
    if not _is_own_python(venv):
        _fail(f"{venv} was created without a Python of its own; name another with PYTHON_FOR_VENV=/path/to/python.")
    print(f"set-up: installing the project and what it needs into {venv} (a few minutes, once)", flush=True)
    options = ["--quiet", "--disable-pip-version-check", "--use-pep517", "--constraint", "requirements_lock.txt"]
    _run([str(venv / "bin/python"), "-I", "-m", "pip", "install", *options, "--editable", f".[{extras}]"])


def _run(command: list[str]) -> None:
    environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "1"}
    status = subprocess.run(command, cwd=PROJECT, env=environment, close_fds=False).returncode
    if status:
        _fail(f"`{' '.join(command)}` failed with status {status}; see the lines above.")


def _import_failure(venv: Path, extras: str) -> str | None:
    """Returns the error of the first package that cannot be imported, or None."""
    command = [str(venv / "bin/python"), "-I", __file__, "--import", extras]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    last_line = done.stderr.strip().rpartition("\n")[2]
    return f"status {done.returncode}: {last_line}" if done.returncode else None


def import_packages(extras: str) -> None:
    """Imports the project and the packages that its setup.py names for the extras, joined by commas."""
    names = set()
    for line in metadata.requires("keras_dynamic") or []:
        name, condition = re.match(r"([\w.-]+)(.*)", line).groups()  # type: ignore[union-attr]
        extra = re.search(r"extra == ['\"](\w+)", condition)
        if extra is None or extra[1] in extras.split(","):
            names.add(_normal(name))
    # Keras imports its backend, which is TensorFlow by default.
    os.environ.setdefault("KERAS_BACKEND", "tensorflow" if {"cpu", "gpu"} & {*extras.split(",")} else "jax")
    importlib.import_module("keras_dynamic")
    for module, owners in metadata.packages_distributions().items():
        if names & set(map(_normal, owners)) and module.isidentifier():
            importlib.import_module(module)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _fail(message: str) -> NoReturn:
    sys.exit(f"set-up: {message}")


if __name__ == "__main__":
    if sys.argv[1] == "--import":
        import_packages(sys.argv[2])
    else:
        main(Path(sys.argv[1]).absolute(), sys.argv[2])
