"""What a finished BlockDrop run gave, read from its folder."""

import json
import os
from pathlib import Path
from typing import NamedTuple

_NETWORK = ("depth", "num_classes", "weights")


class BlockDropRun(NamedTuple):
    """Figures of a run on the test images.

    Attributes:
        accuracy: share of images answered rightly.
        units: that run on average, those that always run included.
        macs: mean MACs, policy included.
        epochs: that it was trained for.
    """

    accuracy: float
    units: float
    macs: float
    epochs: int


def blockdrop_run(config, stage, data_dir=None) -> BlockDropRun:
    """Reads a run of BlockDrop on the network and data of a config.

    Args:
        config: with network, data and runs: the folder of each stage's run, in which environment variables are
            expanded, and the config file that trains it.
        stage: 'curriculum' or 'finetuning'.
        data_dir: folder of the data set, for the command in an error.

    Returns:
        BlockDropRun.

    Raises:
        FileNotFoundError: if the folder lacks figures.json or config.json.
        ValueError: if one of them is broken, or the run is of another stage, network or data set.
    """
    folder = Path(os.path.expandvars(config.runs[stage]))
    command = f"python train_main.py --config={config.runs.config}:{stage} --workdir={config.runs[stage]}"
    command += f" --data_dir={data_dir}" if data_dir else ""
    figures, settings = (_read(folder / name, command) for name in ("figures.json", "config.json"))
    missing = [name for name in ("accuracy", "units_mean", "macs_mean") if name not in figures]
    if missing:
        raise ValueError(f"{folder / 'figures.json'} lacks {', '.join(missing)}; measure them with `{command}`.")
    method = settings["method"]
    if (method["name"], method.get("stage")) != ("blockdrop", stage):
        came = f"{method['name']} {method.get('stage', '')}".strip()
        raise ValueError(f"runs.{stage} must be a run of BlockDrop's {stage}, but {folder} is one of {came}.")
    wanted, other = _subject(config), _subject(settings)
    if wanted != other:
        raise ValueError(f"runs.{stage} must be a run on {wanted}, but {folder} is one on {other}; give another.")
    units = figures["units_mean"] + len(method["always"])
    return BlockDropRun(figures["accuracy"], units, figures["macs_mean"], settings["epochs"])


def _subject(settings):
    """Returns what a run is on: the network and the data."""
    return {**{name: settings["network"][name] for name in _NETWORK}, "data": settings["data"]["name"]}


def _read(path, command):
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}, which a BlockDrop run writes at its end; first run `{command}`.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); write it again with `{command}`.") from error
