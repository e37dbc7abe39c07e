"""What train_main.py runs: a job per kind of config."""

from keras_dynamic.messages import did_you_mean

__all__ = ["JOBS", "run"]

JOBS = (
    "train",
    "quickstart",
    "evaluate_static",
    "cascade",
    "step_time",
    "baselines",
    "channel_latency",
    "exit_latency",
    "compact_time",
    "compare_seeds",
)


def run(config, workdir, data_dir=None, record=None):
    """Runs the job that a config names.

    Args:
        config: ml_collections ConfigDict, see configs/.
        workdir: folder of the run.
        data_dir: folder of the data set, None for sets that ship or lie in the usual place.
        record: id of the record to write to results/, or prefix of the ids of several; None writes none.

    Returns:
        What the job returns: its figures.

    Raises:
        ValueError: if the job is unknown, or config, folder and data do not fit together.
        FileNotFoundError: if the data or weights that the config names are not there.
    """
    if record:
        from keras_dynamic.experiments.records import check_own_command

        check_own_command()
    if config.job == "train":
        from keras_dynamic.experiments.train_and_evaluate import train_and_evaluate

        return train_and_evaluate(config, workdir, data_dir, record)
    if config.job == "quickstart":
        from keras_dynamic.experiments.jobs.quickstart import quickstart

        return quickstart(config, workdir, data_dir, record)
    if config.job == "evaluate_static":
        from keras_dynamic.experiments.jobs.evaluate_static import evaluate_static

        return evaluate_static(config, data_dir, record)
    if config.job == "cascade":
        from keras_dynamic.experiments.jobs.evaluate_static import judge_cascade

        return judge_cascade(config, data_dir, record)
    if config.job == "step_time":
        from keras_dynamic.experiments.jobs.timing import step_time

        return step_time(config, record)
    if config.job == "baselines":
        from keras_dynamic.experiments.jobs.baselines import baselines

        return baselines(config, workdir, data_dir, record)
    if config.job == "channel_latency":
        from keras_dynamic.experiments.jobs.latency import channel_latency

        return channel_latency(config, record)
    if config.job == "exit_latency":
        from keras_dynamic.experiments.jobs.latency import exit_latency

        return exit_latency(config, workdir, data_dir, record)
    if config.job == "compact_time":
        from keras_dynamic.experiments.jobs.timing import compact_time

        return compact_time(config, data_dir, record)
    if config.job == "compare_seeds":
        from keras_dynamic.experiments.jobs.compare_seeds import compare_seeds

        return compare_seeds(config, record)
    raise ValueError(f"job must be one of {JOBS}, got {config.job!r}{did_you_mean(config.job, JOBS)}.")
