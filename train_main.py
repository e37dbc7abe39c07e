"""Runs what a config describes: a training, the main job, or a measurement.

    python train_main.py --config=configs/quickstart.py --workdir=runs/quickstart

Values of the config can be changed on the command line: --config.method.target=0.5. Running the same command again goes
on where an earlier run stopped. Only --record=ID writes to results/.

With --config.distribute=workers and TF_CONFIG, as tf.distribute has it, the same command on several machines is one
training, in a --workdir that all of them share; --workers=2 tries that on this machine's CPU.
"""

import os
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's messages about the machine

_CONFIG = config_flags.DEFINE_config_file("config", None, "file of the experiment, in configs/", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "folder for weights, records and logs")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "folder with NAME.npz or a TFDS folder; not needed for shipped data")
_SEED = flags.DEFINE_integer("seed", None, "seed, instead of the config's", lower_bound=0)
_RECORD = flags.DEFINE_string("record", None, "id of the record to write to results/")
_WORKERS = flags.DEFINE_integer("workers", 0, "try a training of so many workers on this machine", lower_bound=0)
_WORKER_SECONDS = flags.DEFINE_float("worker_seconds", 600, "how long a worker may be silent", lower_bound=0)


def main(argv):
    """Runs the job."""
    if len(argv) > 1:
        sys.exit(f"train_main: unknown arguments {argv[1:]}; flags start with --.")
    from keras_dynamic.experiments import jobs, strategy, workers

    config = _CONFIG.value
    if _SEED.value is not None:
        config.seed = _SEED.value
    logging.set_verbosity(logging.ERROR)
    try:
        if _WORKERS.value:
            command = [sys.executable, *sys.argv, "--workers=0", "--config.distribute=workers"]
            workers.start_workers(command, _WORKERS.value, _WORKDIR.value, _WORKER_SECONDS.value)
            return
        if config.get("distribute") == "workers":  # before anything uses TensorFlow
            workers.meet(workers.read_cluster(), config, _WORKER_SECONDS.value)
            strategy.devices("workers")
        jobs.run(config, _WORKDIR.value, _DATA_DIR.value, _RECORD.value)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        sys.exit(f"train_main: {error}")
    except KeyboardInterrupt:
        sys.exit("train_main: interrupted; the same command goes on after the last whole epoch.")


def parse(argv):
    """Reads the flags and loads the config; returns the arguments that are no flags."""
    files = [flag.partition("=")[2] for flag in argv if flag.startswith("--config=")]
    missing = [file for file in files if not Path(file.partition(":")[0]).is_file()]
    if missing:
        from keras_dynamic.messages import did_you_mean

        known = did_you_mean(missing[0], map(str, Path("configs").glob("*.py")))
        sys.exit(f"train_main: there is no config file {missing[0]!r}{known}; those that come along are in configs/.")
    try:
        return flags.FLAGS(argv)
    except flags.IllegalFlagValueError as error:  # in a config file's own code too: the last line is the reason
        reason = str(error).strip().splitlines()[-1].strip()
        sys.exit(f"train_main: {reason.removeprefix('ValueError: ')}")
    except flags.Error:
        return app.parse_flags_with_usage(argv)
    except AttributeError as error:
        cause = error.args[0]
        if not isinstance(cause, KeyError):  # ml_collections' own, with a suggestion in a second line
            raise
        sys.exit(f"train_main: the config has no key {'; '.join(cause.args[0].splitlines())}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse)
