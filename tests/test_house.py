"""Rules of the house that ruff and import-linter (pyproject.toml) do not know."""

import ast
import importlib
import sys

from tests import project
from tests.project import ROOT

SOURCES = project.files("keras_dynamic/*.py")

MOST_LINES = 600
MOST_BYTES = 3_000_000

# Larger files that are worth it, and the bytes that each may have.
LARGE_FILES = {
    # The images that gates are trained on, so that the main job needs no download.
    "keras_dynamic/data/shipped/gates.webp": 6_500_000,
}

# What a bare install has; everything else is imported where it is used.
BASE = {"absl", "configs", "keras", "keras_dynamic", "ml_collections", "numpy", "PIL", *sys.stdlib_module_names}


def test_source_files_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length >= MOST_LINES} == {}


def test_files_are_small():
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in project.files()}
    assert {name: size for name, size in sizes.items() if size > LARGE_FILES.get(name, MOST_BYTES)} == {}
    assert LARGE_FILES.keys() <= sizes.keys(), "LARGE_FILES names a file that is gone"


def test_packages_list_their_names():
    for path in SOURCES:
        if path.name == "__init__.py":
            package = importlib.import_module(".".join(path.parent.relative_to(ROOT).parts))
            assert len(set(package.__all__)) == len(package.__all__), package
            assert all(hasattr(package, name) for name in package.__all__), package


def imported_when_loaded(node):
    """Yields the name of each module that a file imports outside of functions and of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield child.module
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif not (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield from imported_when_loaded(child)


def test_optional_packages_are_imported_in_functions():
    for path in [*SOURCES, ROOT / "train_main.py"]:
        names = imported_when_loaded(ast.parse(path.read_text()))
        optional = [name for name in names if name.partition(".")[0] not in BASE]
        assert not optional, f"{path} imports {optional} when loaded; import them where they are used"


# Loads a copy of a model in memory, which it has just saved itself.
UNSAFE_LOADS = {"keras_dynamic/layers/dynamic_model.py": 1}


def test_nothing_that_a_file_holds_is_run():
    """No pickles, and Keras' safe mode, which refuses the code in a .keras file."""
    unsafe: dict[str, int] = {}
    for path in [*SOURCES, *project.files("tflite/*.py"), *project.files("tools/*.py"), ROOT / "train_main.py"]:
        nodes = list(ast.walk(ast.parse(path.read_text())))
        given = {ast.unparse(node) for node in nodes if isinstance(node, ast.keyword)}
        named = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        names = [name for node in nodes for name in imported_when_loaded(ast.Module([node], []))]
        assert not {"pickle", "dill", "marshal", "joblib"} & {name.partition(".")[0] for name in names}, path
        assert "allow_pickle=True" not in given, path
        assert "enable_unsafe_deserialization" not in named, path
        loads = [node for node in nodes if isinstance(node, ast.keyword) and ast.unparse(node) == "safe_mode=False"]
        if loads:
            unsafe[path.relative_to(ROOT).as_posix()] = len(loads)
    assert unsafe == UNSAFE_LOADS
