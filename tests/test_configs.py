"""Every config loads, is locked, and builds what it describes."""

import importlib.util
import inspect
import re
from pathlib import Path

import keras
import pytest

from keras_dynamic.jobs import JOBS
from keras_dynamic.jobs.train_and_evaluate import NAMES
from keras_dynamic.report.records import parse_target
from keras_dynamic.training import build, build_optimizer, exit_macs
from keras_dynamic.training.build import METHODS

ROOT = Path(__file__).parents[1]
RESNET8 = ("stage1_unit1", "stage2_unit1", "stage3_unit1")
NO_EXPERIMENTS = ("__init__", "base", "blockdrop", "imagenet", "imta", "sgad")  # what experiments stand on
_FEW = 3
FILES = sorted(path for path in (ROOT / "configs").glob("*.py") if path.stem not in NO_EXPERIMENTS)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stages(path):
    """The config, or those of its stages where it takes one; of many, the first and the last."""
    module = load(path)
    if not inspect.signature(module.get_config).parameters:
        return [module.get_config()]
    settings = module.SETTINGS
    some = settings if len(settings) <= _FEW else (settings[0], settings[-1])
    return [module.get_config(setting) for setting in some]


def smaller(config):
    """The config with a network of its kind that is built in no time: ResNet-8, bottlenecks of one unit, two exits."""
    with config.unlocked(), config.network.unlocked():
        network = config.network
        network.weights = "zoo:resnet8_cifar10_45k" if network.weights.startswith("zoo:") else ""
        name = network.get("name")
        if name in ("resnet50", "resnet101"):
            del network["name"]
            network.stages, network.size = (1, 1, 1, 1), 32
        elif name == "msdnet":
            network.update(blocks=2, base=2, step=1, channels=4, growth=2)
        elif name == "mobilenet_v2":
            network.size = 32
        else:
            network.depth = 8
        if network.get("exits"):
            network.exits = ("stage1_unit1", "stage2_unit1")
        if hasattr(config.method.get("usage"), "items"):
            config.method.usage = {name: share for name, share in config.method.usage.items() if name in RESNET8}
    return config


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


def test_every_setting_is_a_config_of_its_own(path):
    module = load(path)
    if not inspect.signature(module.get_config).parameters:
        pytest.skip("it has no settings")
    configs = [module.get_config(setting) for setting in module.SETTINGS]
    assert all(config.is_locked for config in configs)
    assert len({config.to_json() for config in configs}) == len(configs)
    assert module.get_config() == configs[0]
    with pytest.raises(ValueError, match=re.escape(", ".join(module.SETTINGS))):
        module.get_config("nothing")


@pytest.mark.parametrize("size", ["small", pytest.param("full", marks=pytest.mark.ci)])
def test_network_and_method_can_be_built(path, size):
    for config in stages(path) if size == "full" else stages(path)[-1:]:
        if config.job not in ("train", "quickstart"):
            pytest.skip("it trains nothing")
        if size == "small":
            config = smaller(config)
        if "WEIGHTS_DIR" in config.network.weights:
            config.network.weights = ""  # these do not come along
        model = build(config)
        if config.network.get("granularity"):
            wholes = [unit for unit in model.chain.units if not getattr(unit, "group_names", ())]
            decided = len(model.chain.group_names) + len(wholes) * (config.method.gates == "channels and units")
        elif config.method.name == "imta":
            decided = len(model.chain.exit_names)
            if size == "full":
                assert model.cost_tree.total_macs > config.evaluation.macs > exit_macs(model)[0]
        else:
            last = model.chain.skippable_names[-1:] if config.method.name == "sgad" else []  # which always runs
            decided = len(model.chain.skippable_names) - len({*config.method.get("always", ()), *last})
        assert len(model.decision_names) == decided
        schedule = METHODS[config.method.name].schedule(config, model, 176)
        assert schedule.settled < config.epochs
        assert build_optimizer(config.optimizer, 100, config.epochs).learning_rate is not None


@pytest.mark.parametrize("setting", ["pruned", "conditional"])
def test_channels_decide_whole_units_where_groups_would_be_too_small(setting):
    """Of ResNet-32: whole units of the first stage, 2 groups in the second and 4 in the third, one of them forced."""
    config = load(ROOT / "configs" / "channels_resnet32_cpu.py").get_config(setting)
    model = build(config)
    assert len(model.decision_names) == 5 + 5 + 5 * 3
    assert model.decider.detached == (setting == "conditional")
    assert config.method.gates in NAMES  # a run of it can be judged
