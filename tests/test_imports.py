"""Imports go one way, and what is heavy or optional is imported late."""

import graphlib
from pathlib import Path

from tools import source_tree

# A part may import those on its own level or below, as long as no parts import each other in a circle.
LEVELS = [
    {"messages"},
    {"ops", "train steps on TensorFlow"},
    {"cost", "layers", "deciders"},
    {"models", "losses", "metrics", "callbacks", "zoo"},
    {"methods"},
    {"training", "lite", "data"},
    {"report"},
    {"jobs"},
]
RANK = {part: rank for rank, parts in enumerate(LEVELS) for part in parts}

# Files that stand elsewhere than the rest of their folder: training steps know no method, and methods run them.
OF_THEIR_OWN = {Path("keras_dynamic/training/tape_step.py"): "train steps on TensorFlow"}

# The package's front page, which names everything, and what tests import.
ABOVE_ALL = {"__init__", "testing"}

# What a bare install has; everything else is imported where it is used.
BASE = {"absl", "keras", "keras_dynamic", "ml_collections", "numpy", "PIL"}

MAY_IMPORT_TENSORFLOW = {"data", "training", "lite", "train steps on TensorFlow"}


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


def test_imports_go_one_way():
    upwards = [
        f"{path} imports {other}, which stands above it"
        for path in product()
        if part_of(path) not in ABOVE_ALL
        for other in sorted(imported_parts(path) - {part_of(path)})
        if other in ABOVE_ALL or RANK[other] > RANK[part_of(path)]
    ]
    assert upwards == []


def test_parts_do_not_import_each_other_in_circles():
    graph: dict[str, set[str]] = {}
    for path in product():
        graph.setdefault(part_of(path), set()).update(imported_parts(path) - {part_of(path)})
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_data_stands_alone():
    for path in product():
        if part_of(path) == "data":
            assert imported_parts(path) <= {"data", "messages"}, path


def test_nothing_imports_configs_scripts_or_tests():
    strangers = []
    for path in product():
        for item in source_tree.imports(path):
            source = source_tree.source_of(item, path)
            outside = source is not None and source.parts[0] != "keras_dynamic"
            if outside or item.top in {"configs", "tests", "tools", "train_main"}:
                strangers.append(f"{path}:{item.line} imports {item.module}")
    assert strangers == []


def test_tensorflow_has_its_places():
    misplaced = [
        f"{path}:{item.line} imports {item.module}"
        for path in product()
        if part_of(path) not in MAY_IMPORT_TENSORFLOW
        for item in source_tree.imports(path)
        if item.top.startswith(("tensorflow", "tf_keras"))
    ]
    assert misplaced == []


def test_optional_packages_are_imported_late():
    script = Path("train_main.py")
    early = [
        f"{path}:{item.line} imports {item.module} when loaded; import it where it is used"
        for path in [*product(), script]
        for item in source_tree.imports(path)
        if not item.late and item.top not in (BASE | {"configs"} if path == script else BASE)
    ]
    assert early == []
