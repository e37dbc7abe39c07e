"""A measured figure is a record: one JSON file per row, results/ID.json."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_dynamic.experiments.run_record import commit, machine
from keras_dynamic.files import read_json, write_text
from keras_dynamic.messages import did_you_mean, is_count

METHODS = (
    "pay",
    "cascade",
    "gating",
    "blockdrop",
    "sgad",
    "ddi",
    "channels",
    "exits",
    "serving",
    "edge",
    "models",
    "static",
)

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FIGURE = re.compile(r"[a-z][a-z0-9_]*")
_TARGET = re.compile(r"(>=|<=) (-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
_AGAIN = "train the run again"
_ABSOLUTE_PATH = re.compile(r"(?:^|[\s='\"])(/[^\s'\"]+)")


@dataclasses.dataclass(frozen=True)
class Record:
    """One measured row.

    Attributes:
        id: Name of the row and of its file; letters, digits, '_', '-' and '.'.
        method: One of METHODS.
        network: What was measured, e.g. 'ResNet-8, -20, -32'.
        data: What it was judged on, e.g. 'CIFAR-10 test, 10,000 images'; rows compare where this text is equal.
        command: The command that measures it again; paths in it read $DATA_DIR and $WEIGHTS_DIR.
        config: Name of the config file, or the settings as a JSON object.
        commit: The commit it was measured at.
        seed: Seed of the run.
        date: Day or time of the measurement, ISO 8601.
        machine: Processor, cores, accelerator, and what else explains the times.
        figures: {name: number}, named as in report.json; what that nests under float32 or int8 has that suffix.
            Accuracies, rates and margins are fractions, costs MACs, times in the unit of their suffix.
        targets: {name of a figure: 'OP NUMBER'} with OP >= or <=.
        seconds: Wall-clock time of the measurement.

    Raises:
        ValueError: On construction, naming the key that is wrong.
    """

    id: str
    method: str
    network: str
    data: str
    command: str
    config: str | Mapping[str, Any]
    commit: str
    seed: int
    date: str
    machine: str
    figures: Mapping[str, float]
    targets: Mapping[str, str]
    seconds: float

    def __post_init__(self):
        for key in ("id", "method", "network", "data", "command", "commit", "date", "machine"):
            value = getattr(self, key)
            _require(isinstance(value, str) and value.strip(), key, "text that is not empty", value)
        methods = f"one of {', '.join(METHODS)}{did_you_mean(self.method, METHODS)}"
        _require(_ID.fullmatch(self.id), "id", "letters, digits, '_', '-' and '.' only", self.id)
        _require(self.method in METHODS, "method", methods, self.method)
        _require(isinstance(self.config, (str, Mapping)), "config", "a config's name or its settings", self.config)
        _require(is_count(self.seed, 0), "seed", "an integer >= 0", self.seed)
        _require(_is_number(self.seconds) and self.seconds >= 0, "seconds", "a finite number >= 0", self.seconds)
        _require(_is_date(self.date), "date", "an ISO 8601 date such as 2025-01-31", self.date)
        check_command(self.command)
        _check_figures(self.figures)
        _check_targets(self.targets, self.figures)


def check_command(command: str) -> None:
    """Raises a ValueError if a command names an absolute path, which nobody else has."""
    path = _ABSOLUTE_PATH.search(command)
    _require(path is None, "command", "$DATA_DIR or $WEIGHTS_DIR, no absolute path", path and path.group(1))


def parse_target(target: str) -> tuple[str, float]:
    """Splits 'OP NUMBER'.

    Args:
        target: For example '>= 0.934'.

    Returns:
        The operator, '>=' or '<=', and the number.

    Raises:
        ValueError: If it is anything else.
    """
    match = _TARGET.fullmatch(target) if isinstance(target, str) else None
    if match is None:
        raise ValueError(f"expected 'OP NUMBER' with OP >= or <= and one space, such as '>= 0.934', got {target!r}")
    return match.group(1), float(match.group(2))


def met(record: Record) -> dict[str, bool]:
    """Compares a record's figures with its targets.

    Args:
        record: The record.

    Returns:
        {name of the figure: whether its target is met}, in the order of the targets; empty where none is set.
    """
    result = {}
    for name, target in record.targets.items():
        operator, bound = parse_target(target)
        figure = record.figures[name]
        result[name] = figure >= bound if operator == ">=" else figure <= bound
    return result


def write(record: Record, directory: Path | str) -> Path:
    """Writes directory/ID.json, in one step.

    Args:
        record: The record; an existing one of that id is replaced.
        directory: Usually results/.

    Returns:
        The path written.
    """
    text = json.dumps(dataclasses.asdict(record), indent=2, ensure_ascii=False, allow_nan=False)
    return write_text(Path(directory) / f"{record.id}.json", text + "\n")


def load(path: Path | str) -> Record:
    """Reads one record.

    Args:
        path: A file ID.json.

    Returns:
        The record.

    Raises:
        ValueError: If the file is no JSON object, a key is missing, unknown or wrong, or the id is not the file's name;
            the message names file and key.
    """
    path = Path(path)
    content = read_json(path, "measure it again with --record")
    names = [field.name for field in dataclasses.fields(Record)]
    for key in content:
        if key not in names:
            known = f"the keys {', '.join(names)}"
            raise ValueError(f"{path}: expected {known}, got {key!r}{did_you_mean(key, names)}; remove or rename it.")
    for key in names:
        if key not in content:
            raise ValueError(f"{path}: expected the key {key!r}, got none; add it.")
    try:
        record = Record(**content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if record.id != path.stem:
        raise ValueError(f"{path}: key 'id': expected the file's name {path.stem!r}, got {record.id!r}; rename one.")
    return record


def load_all(directory: Path | str) -> list[Record]:
    """Reads every record of a folder.

    Args:
        directory: Usually results/; one that does not exist holds no records.

    Returns:
        The records, by method in the order of METHODS, then by id.

    Raises:
        ValueError: As `load`.
    """
    records = [load(path) for path in sorted(Path(directory).glob("*.json"))]
    return sorted(records, key=lambda record: (METHODS.index(record.method), record.id))


def _require(right: Any, key: str, expected: str, received: Any) -> None:
    if not right:
        raise ValueError(f"key {key!r}: expected {expected}, got {received!r}; correct it.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_date(text: str) -> bool:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_figures(figures: Any) -> None:
    _require(isinstance(figures, Mapping) and figures, "figures", "an object of at least one named number", figures)
    for name, value in figures.items():
        key = f"figures.{name}"
        named = isinstance(name, str) and _FIGURE.fullmatch(name)
        _require(named, key, "a name of small letters, digits and '_'", name)
        _require(_is_number(value), key, "a finite number (int or float)", value)
        if name.startswith("accuracy"):
            _require(0 <= value <= 1, key, "an accuracy as a fraction between 0 and 1", value)


def _check_targets(targets: Any, figures: Mapping[str, float]) -> None:
    _require(isinstance(targets, Mapping), "targets", "an object, {} where the row has none", targets)
    for name, target in targets.items():
        key = f"targets.{name}"
        _require(name in figures, key, f"one of the figures {', '.join(figures)}{did_you_mean(name, figures)}", name)
        try:
            parse_target(target)
        except ValueError as error:
            raise ValueError(f"key {key!r}: {error}; correct it.") from error


RESULTS = Path("results")


def write_record(identity, method, network, data, config, figures, targets, seconds, machine_note="") -> Path:
    """Writes results/ID.json in the folder where the command was given.

    Args:
        identity: the record's id.
        method: one of METHODS.
        network: what was measured.
        data: what it was judged on; rows compare where this text is equal.
        config: the config's settings, a dictionary.
        figures: {name: number}; None and what is no number is left out.
        targets: {name: 'OP NUMBER'}.
        seconds: wall-clock time of the measurement.
        machine_note: what else explains the times.

    Returns:
        The file's path.

    Raises:
        ValueError: if a key is not as a record needs it.
    """
    numbers = {name: float(value) for name, value in figures.items() if isinstance(value, (int, float))}
    record = Record(
        id=identity,
        method=method,
        network=network,
        data=data,
        command=command_line(),
        config=_plain(config),
        commit=commit() or "unknown",
        seed=int(config.get("seed", 0)),
        date=datetime.date.today().isoformat(),
        machine=machine() + (f"; {machine_note}" if machine_note else ""),
        figures=numbers,
        targets=dict(targets),
        seconds=round(float(seconds), 1),
    )
    write(record, RESULTS)
    return RESULTS / f"{identity}.json"


def _plain(config) -> dict:
    """Returns settings as JSON has them: sections inside tuples are dictionaries too."""
    return json.loads(json.dumps(config, default=lambda value: value.to_dict()))


def check_own_command():
    """Raises a ValueError if the command that was given cannot stand in a record, before hours are spent on it."""
    check_command(command_line())


def command_line() -> str:
    """Returns the command that was given, quoted, with the folders of data and weights as $DATA_DIR, $WEIGHTS_DIR."""
    command = shlex.join(["python", *sys.argv])
    for variable in ("DATA_DIR", "WEIGHTS_DIR"):
        if os.environ.get(variable):
            command = command.replace(os.environ[variable], f"${variable}")
    return command


def facts(data, seed) -> dict:
    """Returns the facts about a run that stand on its report.

    Args:
        data: what the networks were judged on.
        seed: of the run.
    """
    return {
        "data": data,
        "command": command_line(),
        "machine": machine(),
        "commit": commit(),
        "seed": seed,
        "date": datetime.date.today().isoformat(),
    }


def flat(figures: dict) -> dict:
    """Flattens {'float32': {'overhead': 1.0}} to {'overhead_float32': 1.0}, one level of names."""
    result: dict = {}
    for name, value in figures.items():
        if name in ("float32", "int8"):
            result |= {f"{inner}_{name}": number for inner, number in value.items()}
        else:
            result[name] = value
    return {name: value for name, value in result.items() if isinstance(value, (int, float))}


def training_seconds(folder) -> float:
    """Returns the seconds of a run's training, and of those that it started from.

    Args:
        folder: of the run.
    """
    return read_json(Path(folder) / "run.json", _AGAIN)["seconds"] + taken_over_seconds(folder)


def taken_over_seconds(folder) -> float:
    """Returns the seconds of the trainings that a run started from, 0 if from none, or none whose folder is there.

    Args:
        folder: of the run.
    """
    config = Path(folder) / "config.json"
    start = os.path.expandvars(read_json(config, _AGAIN).get("start_from", "")) if config.is_file() else ""
    before = Path(start).parent if start.endswith(".keras") else Path(start)
    return training_seconds(before) if start and (before / "run.json").is_file() else 0.0
