"""Ways to train, compared over several seeds: runs of one seed are a pair."""

from pathlib import Path

import numpy as np

from keras_dynamic.experiments.records import taken_over_seconds, write_record
from keras_dynamic.files import read_json


def compare_seeds(config, workdir=None, data_dir=None, record=None) -> dict:
    """Compares runs of several ways to train with those of a baseline, seed by seed.

    The config has runs, {way: folders, one per seed}; baseline, one of the ways; figure, its name in the runs'
    figures.json; title and text, network and data in words; targets and seed.

    Returns:
        {'accuracy_WAY': mean over the seeds, 'accuracy_std_WAY': standard deviation over them, and of all other
        ways 'margin_WAY': mean of the differences from the baseline, 'margin_std_WAY': their standard deviation,
        'deviations_WAY': the one over the other, unless that is 0}. 'seconds_max' are the longest run's, with those of
        the run that it started from; 'seconds_sum' those of all, each counted once.

    Raises:
        ValueError: if ways have other numbers of seeds, or fewer than two.
        FileNotFoundError: if a run has not been judged yet.
    """
    runs = {way: [_figures(folder) for folder in folders] for way, folders in config.runs.items()}
    counts = {way: len(found) for way, found in runs.items()}
    if len(set(counts.values())) > 1 or min(counts.values()) < 2:
        raise ValueError(f"runs must have the same number of seeds, at least 2, got {counts}; name a folder for each.")
    values = {way: np.array([each[config.figure] for each in found]) for way, found in runs.items()}
    figures: dict[str, float] = {}
    for way, each in values.items():
        figures |= {f"accuracy_{way}": float(each.mean()), f"accuracy_std_{way}": float(each.std(ddof=1))}
    for way in sorted(set(values) - {config.baseline}):
        differences = values[way] - values[config.baseline]
        mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
        figures |= {f"margin_{way}": mean, f"margin_std_{way}": deviation}
        if deviation:
            figures[f"deviations_{way}"] = mean / deviation
    seconds = [each["seconds"] for found in runs.values() for each in found]
    together = sum(seconds) - sum(taken_over_seconds(folder) for folders in config.runs.values() for folder in folders)
    figures |= {"seconds_max": max(seconds), "seconds_sum": together}
    print("\n".join(f"{name} {value:.4f}" for name, value in figures.items()))
    if record:
        settings, targets = config.to_dict(), config.targets.to_dict()
        write_record(record, "exits", config.title, config.text, settings, figures, targets, together)
    return figures


def _figures(folder) -> dict:
    path = Path(folder) / "figures.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; run the training that the config names and let it be judged.")
    return read_json(path, "let the run be judged again")
