"""Trains what a config describes and judges it on the whole test set."""

from pathlib import Path

from keras_dynamic import zoo
from keras_dynamic.jobs.plain import data_text, describe
from keras_dynamic.jobs.record import write_record
from keras_dynamic.report import frontier
from keras_dynamic.training import (
    RunRecord,
    accuracy_shuffled,
    build_network,
    compiled_outcome,
    evaluate,
    reestimation_batches,
    static_twin,
    train,
)
from keras_dynamic.training.cascade_frontier import PlainNetwork, cascade_frontier
from keras_dynamic.training.run_record import write_json


def train_and_evaluate(config, workdir, data_dir=None, record=None) -> dict:
    """Trains, or goes on, and measures what came of it; running the same command again only measures.

    Prints a short table. The folder gets what training.train puts there, and figures.json.

    Args:
        config: ml_collections ConfigDict, see configs/.
        workdir: folder of the run.
        data_dir: folder of the data set, None for sets that ship or lie in the usual place.
        record: id of the record to write to results/; None writes none.

    Returns:
        {name: figure}, named as in report.json.

    Raises:
        ValueError: if the config does not fit together, or the folder holds another config's run.
        FileNotFoundError: if the data or weights that the config names are not there.
    """
    plain = [zoo.load(name) for name in config.evaluation.static]
    model, splits = train(config, workdir, data_dir)
    figures = _figures(config, model, splits) | _margins(plain, splits, model)
    return figures
