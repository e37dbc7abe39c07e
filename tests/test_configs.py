"""Every config loads, is locked, and builds what it describes."""

import importlib.util
import inspect
import re
from pathlib import Path

import keras
import pytest

from keras_dynamic.jobs import JOBS
from keras_dynamic.report.records import parse_target
from keras_dynamic.training import build, build_optimizer
from keras_dynamic.training.build import METHODS

ROOT = Path(__file__).parents[1]
NO_EXPERIMENTS = ("__init__", "base", "blockdrop", "sgad")  # what experiments stand on
FILES = sorted(path for path in (ROOT / "configs").glob("*.py") if path.stem not in NO_EXPERIMENTS)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stages(path):
    """The config, or those of its stages where it takes one."""
    module = load(path)
    if not inspect.signature(module.get_config).parameters:
        return [module.get_config()]
    return [module.get_config(setting) for setting in module.SETTINGS]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_docstring_says_what_to_run_and_what_it_costs(path):
    text = load(path).__doc__
    assert f"configs/{path.name}" in text
    assert "python train_main.py --config=" in text
    assert "--workdir=runs/" in text
    assert re.search(r"\b(second|minute|hour)s?\b", text), "a config says how long its run takes"


def test_config_is_locked_and_names_a_job(path):
    config = load(path).get_config()
    assert config.is_locked
    with pytest.raises((AttributeError, KeyError), match="targt"):
        config.method.targt = 0.5
    assert config.job in JOBS
    for target in keras.tree.flatten(config.targets.to_dict()):
        parse_target(target)


def test_network_and_method_can_be_built(path):
    for config in stages(path):
        if config.job not in ("train", "quickstart"):
            pytest.skip("it trains nothing")
        if "WEIGHTS_DIR" in config.network.weights:
            config.network.weights = ""  # these do not come along
        model = build(config)
        if config.network.get("granularity"):
            decided = len(model.chain.group_names)
        else:
            units = sum(config.network.stages) or (config.network.depth - 2) // 2
            decided = units - (1 if config.method.name == "sgad" else len(config.method.always))  # its last always runs
        assert len(model.decision_names) == decided
        schedule = METHODS[config.method.name].schedule(config, model, 176)
        assert schedule.settled < config.epochs
        assert build_optimizer(config.optimizer, 100, config.epochs).learning_rate is not None
