"""Every config loads, is locked, and builds what it describes."""

import importlib.util
import re
from pathlib import Path

import keras
import pytest

from keras_dynamic.jobs import JOBS
from keras_dynamic.report.records import parse_target
from keras_dynamic.training import build, build_optimizer

ROOT = Path(__file__).parents[1]
FILES = sorted(path for path in (ROOT / "configs").glob("*.py") if path.stem not in ("__init__", "base"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_docstring_says_what_to_run_and_what_it_costs(path):
    text = load(path).__doc__
    assert f"python train_main.py --config=configs/{path.name} --workdir=runs/" in text
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
    config = load(path).get_config()
    if config.job not in ("train", "quickstart"):
        pytest.skip("it trains nothing")
    model = build(config)
    assert len(model.decision_names) == (config.network.depth - 2) // 2 - len(config.method.always)
    assert build_optimizer(config.optimizer, 100, config.epochs).learning_rate is not None
