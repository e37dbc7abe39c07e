"""How long a run's training took, and those that it started from."""

import json
import os
from pathlib import Path


def training_seconds(folder) -> float:
    """Returns the seconds of a run's training, and of those that it started from.

    Args:
        folder: of the run.
    """
    return _read(Path(folder) / "run.json")["seconds"] + taken_over_seconds(folder)


def taken_over_seconds(folder) -> float:
    """Returns the seconds of the trainings that a run started from, 0 if from none, or none whose folder is there.

    Args:
        folder: of the run.
    """
    config = Path(folder) / "config.json"
    start = os.path.expandvars(_read(config).get("start_from", "")) if config.is_file() else ""
    before = Path(start).parent if start.endswith(".keras") else Path(start)
    return training_seconds(before) if start and (before / "run.json").is_file() else 0.0


def _read(path):
    return json.loads(path.read_text(encoding="utf-8"))
