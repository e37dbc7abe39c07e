"""What train_main.py runs: a job per kind of config."""

import importlib

from keras_dynamic.messages import did_you_mean

__all__ = ["JOBS", "run"]

# {name: module below experiments and its function, of the arguments of `run`, which all jobs have whether or not they
# need them}
JOBS = {
    "train": "train_and_evaluate.train_and_evaluate",
    "quickstart": "jobs.quickstart.quickstart",
    "evaluate_static": "jobs.evaluate_static.evaluate_static",
    "cascade": "jobs.evaluate_static.judge_cascade",
    "guarantee": "jobs.evaluate_static.guarantee",
    "distil_front": "jobs.distil_front.distil_front",
    "distil_letters": "jobs.distil_front.distil_letters",
    "plan": "jobs.plan.plan",
    "step_time": "jobs.timing.step_time",
    "baselines": "jobs.baselines.baselines",
    "channel_latency": "jobs.latency.channel_latency",
    "exit_latency": "jobs.latency.exit_latency",
    "budget_input": "jobs.budget_input.budget_input",
    "compact_time": "jobs.timing.compact_time",
    "emulated": "jobs.emulator.emulated",
    "arena": "jobs.arena.arena",
    "stages_time": "jobs.stages.stages_time",
    "fit_memory": "jobs.fit_memory.fit_memory",
    "published_costs": "jobs.published_costs.published_costs",
    "keras_models": "jobs.keras_models.keras_models",
    "compare_seeds": "jobs.compare_seeds.compare_seeds",
}


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
    if config.job not in JOBS:
        raise ValueError(f"job must be one of {tuple(JOBS)}, got {config.job!r}{did_you_mean(config.job, JOBS)}.")
    if config.get("distribute") == "workers" and config.job != "train":
        raise ValueError(f"distribute='workers' is for the job 'train', got job {config.job!r}; run it on one machine.")
    if record:
        from keras_dynamic.experiments.records import check_own_command

        check_own_command()
    module, function = JOBS[config.job].rsplit(".", 1)
    job = getattr(importlib.import_module(f"keras_dynamic.experiments.{module}"), function)
    return job(config, workdir, data_dir, record)
