"""Runs what a config describes: a training, the main job, or a measurement.

    python train_main.py --config=configs/quickstart.py --workdir=runs/quickstart

Values of the config can be changed on the command line: --config.method.target=0.5. Running the same command again goes
on where an earlier run stopped. Only --record=ID writes to results/.
"""

import os
import sys

from absl import app, flags, logging
from ml_collections import config_flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's messages about the machine

_CONFIG = config_flags.DEFINE_config_file("config", None, "file of the experiment, in configs/", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "folder for weights, records and logs")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "folder with NAME.npz or a TFDS folder; not needed for shipped data")
_SEED = flags.DEFINE_integer("seed", None, "seed, instead of the config's", lower_bound=0)
_RECORD = flags.DEFINE_string("record", None, "id of the record to write to results/")


def main(argv):
    """Runs the job."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments {argv[1:]}; flags start with --.")
    from keras_dynamic import jobs

    config = _CONFIG.value
    if _SEED.value is not None:
        config.seed = _SEED.value
    logging.set_verbosity(logging.WARNING)
    try:
        jobs.run(config, _WORKDIR.value, _DATA_DIR.value, _RECORD.value)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"train_main: {error}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main)
