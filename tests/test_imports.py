"""Imports go one way, and what is heavy or optional is imported late."""

import graphlib
from pathlib import Path

import pytest

from tools import source_tree

# A part may import those on its own level or below, as long as no parts import each other in a circle.
LEVELS = [
    {"messages"},
    {"ops", "seeds of replicas", "train steps on TensorFlow"},
    {"cost", "layers", "deciders"},
    {"models", "losses", "metrics", "callbacks", "zoo"},
    {"methods"},
    {"training", "lite", "data"},
    {"report"},
    {"jobs"},
]
RANK = {part: rank for rank, parts in enumerate(LEVELS) for part in parts}

# Files that stand elsewhere than the rest of their folder: training steps know no method, and methods run them; random
# numbers depend on the replica of tf.distribute.
OF_THEIR_OWN = {
    Path("keras_dynamic/training/tape_step.py"): "train steps on TensorFlow",
    Path("keras_dynamic/ops/seed_generator.py"): "seeds of replicas",
}

# The package's front page, which names everything, and what tests import.
ABOVE_ALL = {"__init__", "testing"}

# What a bare install has; everything else is imported where it is used.
BASE = {"absl", "keras", "keras_dynamic", "ml_collections", "numpy", "PIL"}

MAY_IMPORT_TENSORFLOW = {"data", "training", "lite", "seeds of replicas", "train steps on TensorFlow"}


def product() -> list[Path]:
    return [path for path in source_tree.files(".py") if path.parts[0] == "keras_dynamic"]


def part_of(path: Path) -> str:
    """'keras_dynamic/ops/gumbel.py' belongs to 'ops', 'keras_dynamic/zoo.py' to 'zoo'; see OF_THEIR_OWN."""
    return OF_THEIR_OWN.get(path, path.parts[1].removesuffix(".py"))


def imported_parts(path: Path) -> set[str]:
    sources = [source_tree.source_of(item, path) for item in source_tree.imports(path)]
    return {part_of(source) for source in sources if source is not None and source.parts[0] == "keras_dynamic"}


def test_every_part_has_a_level():
    assert {part_of(path) for path in product()} <= RANK.keys() | ABOVE_ALL
    assert OF_THEIR_OWN.keys() <= set(product())


@pytest.mark.parametrize("path", product(), ids=str)
def test_imports_go_one_way(path):
    part = part_of(path)
    if part in ABOVE_ALL:
        return
    for other in imported_parts(path) - {part}:
        assert other not in ABOVE_ALL, f"{path} imports keras_dynamic.{other}, which stands above it"
        assert RANK[other] <= RANK[part], f"{path} imports {other}, which stands above {part}"


def test_parts_do_not_import_each_other_in_circles():
    graph: dict[str, set[str]] = {}
    for path in product():
        graph.setdefault(part_of(path), set()).update(imported_parts(path) - {part_of(path)})
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_data_stands_alone():
    for path in product():
        if part_of(path) == "data":
            assert imported_parts(path) <= {"data", "messages"}, path


@pytest.mark.parametrize("path", product(), ids=str)
def test_nothing_imports_configs_scripts_or_tests(path):
    tops = {item.top for item in source_tree.imports(path)}
    assert not tops & {"configs", "tests", "tools", "train_main"}
    sources = [source_tree.source_of(item, path) for item in source_tree.imports(path)]
    assert all(source.parts[0] == "keras_dynamic" for source in sources if source is not None)


@pytest.mark.parametrize("path", product(), ids=str)
def test_tensorflow_has_its_places(path):
    found = [item for item in source_tree.imports(path) if item.top.startswith(("tensorflow", "tf_keras"))]
    assert not found or part_of(path) in MAY_IMPORT_TENSORFLOW, f"{path}:{found[0].line} imports {found[0].module}"


@pytest.mark.parametrize("path", [*product(), Path("train_main.py")], ids=str)
def test_optional_packages_are_imported_late(path):
    early = [item for item in source_tree.imports(path) if not item.late and item.top not in BASE]
    if path.name == "train_main.py":
        early = [item for item in early if item.top != "configs"]
    assert not early, f"{path}:{early[0].line} imports {early[0].module} when loaded; import it where it is used"
