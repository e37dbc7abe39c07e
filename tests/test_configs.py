"""Every config loads, is locked, and builds what it describes."""

import importlib.util
import re
from pathlib import Path

import keras
import pytest

from keras_dynamic.evaluation import exit_macs
from keras_dynamic.experiments import Run
from keras_dynamic.experiments.jobs import JOBS
from keras_dynamic.experiments.records import parse_target

ROOT = Path(__file__).parents[1]
RESNET8 = ("stage1_unit1", "stage2_unit1", "stage3_unit1")
NO_EXPERIMENTS = ("__init__", "base")  # what experiments start from
_FEW = 4
FILES = sorted(path for path in (ROOT / "configs").glob("*.py") if path.stem not in NO_EXPERIMENTS)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def settings(path):
    """What a file has for settings, a dict or a tuple; '' where it has one config."""
    return getattr(load(path), "SETTINGS", ("",))


def get(path, setting):
    return load(path).get_config(*([setting] if setting else []))


def to_build():
    """(file, setting) of what trains: all of a family of few settings, of another the first and the last."""
    chosen = []
    for path in FILES:
        families = {}
        named = settings(path)
        for setting in named:
            families.setdefault(named[setting].func if isinstance(named, dict) else "", []).append(setting)
        for names in families.values():
            chosen += [(path, setting) for setting in (names if len(names) <= _FEW else (names[0], names[-1]))]
    return [(path, setting) for path, setting in chosen if get(path, setting).job in ("train", "quickstart")]


def expand(name):
    """The names that 'a_{b,c}' stands for, as in a shell."""
    found = re.search(r"{([^{}]*)}", name)
    if not found:
        return [name]
    start, end = name[: found.start()], name[found.end() :]
    return [full for part in found[1].split(",") for full in expand(start + part + end)]


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
        elif name in ("mobilenet_v2", "densenet121"):
            network.size = 32
        elif name == "densenet_bc":
            network.depth = 10
        else:
            network.depth = 8
        if network.get("exit_copies"):
            network.exits, network.exit_copies = ("stage2_unit1",), ("stage3_unit1",)
        elif network.get("exits"):
            network.exits = ("stage1_unit1", "stage2_unit1")
            if isinstance(network.get("exit_filters"), tuple):
                network.exit_filters = network.exit_filters[:2]
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
    documented = []
    for item in re.split(r"\n(?=- |\n)", text):
        found = re.match(r"- ([\w.{},]+): ", item)
        documented += expand(found[1]) if found else []
        if found:
            assert re.search(r"\b(second|minute|hour|day)s?\b", item), f"{found[1]} says how long its run takes"
    assert sorted(documented) == sorted(filter(None, settings(path)))
    assert documented or re.search(r"\b(second|minute|hour)s?\b", text), "a config says how long its run takes"


def test_config_is_locked_and_names_a_job(path):
    for setting in settings(path):
        config = get(path, setting)
        assert config.is_locked
        with pytest.raises((AttributeError, KeyError), match="targt"):
            config.method.targt = 0.5
        assert config.job in JOBS
        for target in keras.tree.flatten(config.targets.to_dict()):
            parse_target(target)


def test_every_setting_is_a_config_of_its_own(path):
    if settings(path) == ("",):
        pytest.skip("it has no settings")
    configs = [get(path, setting) for setting in settings(path)]
    assert len({config.to_json() for config in configs}) == len(configs)
    assert load(path).get_config() == configs[0]
    with pytest.raises(ValueError, match=re.escape(", ".join(settings(path)))):
        get(path, "nothing")


def test_a_run_starts_from_the_folder_that_its_file_names(path):
    for setting in settings(path):
        folder = get(path, setting).start_from
        assert not folder or folder.rpartition("/")[0] in load(path).__doc__


@pytest.mark.parametrize("size", ["small", pytest.param("full", marks=pytest.mark.ci)])
@pytest.mark.parametrize(("path", "setting"), to_build(), ids=lambda part: getattr(part, "stem", part))
def test_network_and_method_can_be_built(path, setting, size):
    config = get(path, setting)
    if size == "small":
        config = smaller(config)
    if "WEIGHTS_DIR" in config.network.weights:
        config.network.weights = ""  # these do not come along
    if not config.network.weights and config.method.get("distillation_weight"):
        config.method.distillation_weight = 0.0  # nor does their teacher
    run = Run(config)
    model = run.model
    if config.method.name == "ddi":
        units = len(model.chain.skippable_names) - 1  # the first always runs
        groups = len(model.chain.group_names)
        decided = {"layers": units, "channels": groups, "both": units + groups}[config.method.grains]
    elif config.network.get("granularity"):
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
    schedule = run.recipe.schedule(run, 176)
    assert schedule.first_kept < config.epochs
    assert run.optimizer(100).learning_rate is not None


@pytest.mark.parametrize("setting", ["pruned", "conditional"])
def test_channels_decide_whole_units_where_groups_would_be_too_small(setting):
    """Of ResNet-32: whole units of the first stage, 2 groups in the second and 4 in the third, one of them forced."""
    config = load(ROOT / "configs" / "channels.py").get_config(setting)
    run = Run(config)
    model = run.model
    assert len(model.decision_names) == 5 + 5 + 5 * 3
    assert model.decider.detached == (setting == "conditional")
    assert run.recipe.names(config.method) == ("channels", "Channel-gated")
