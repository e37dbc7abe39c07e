"""A job's figures as a record in results/."""

import datetime
import json
import os
import shlex
import sys
from pathlib import Path

from keras_dynamic.report import records
from keras_dynamic.training.run_record import commit, machine

RESULTS = Path("results")


def write_record(identity, method, network, data, config, figures, targets, seconds, machine_note="") -> Path:
    """Writes results/ID.json in the folder where the command was given.

    Args:
        identity: the record's id.
        method: one of report.records.METHODS.
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
    record = records.Record(
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
    records.write(record, RESULTS)
    return RESULTS / f"{identity}.json"


def _plain(config) -> dict:
    """Returns settings as JSON has them: sections inside tuples are dictionaries too."""
    return json.loads(json.dumps(config, default=lambda value: value.to_dict()))


def check_command():
    """Raises a ValueError if the command that was given cannot stand in a record, before hours are spent on it."""
    records.check_command(command_line())


def command_line() -> str:
    """Returns the command that was given, quoted, with the folders of data and weights as $DATA_DIR, $WEIGHTS_DIR."""
    command = shlex.join(["python", *sys.argv])
    for variable in ("DATA_DIR", "WEIGHTS_DIR"):
        if os.environ.get(variable):
            command = command.replace(os.environ[variable], f"${variable}")
    return command


def facts(data, seed) -> dict:
    """Returns what the head of a report says about the run.

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
