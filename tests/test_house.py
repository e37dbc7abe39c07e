"""The rules of the house that a program can check."""

import ast
from pathlib import Path

from tools import source_tree
from tools.source_tree import ROOT

MOST_LINES = 600
MOST_BYTES = 3_000_000

# Larger files that are worth it, and the bytes that each may have.
LARGE_FILES = {
    # The images that gates are trained on, so that the main job needs no download.
    "keras_dynamic/data/shipped/gates.webp": 6_500_000,
}


def product() -> list[Path]:
    return [path for path in source_tree.files(".py") if path.parts[0] == "keras_dynamic"]


def test_files_are_short():
    lines = {path.as_posix(): len((ROOT / path).read_text().splitlines()) for path in product()}
    assert {name: count for name, count in lines.items() if count >= MOST_LINES} == {}


def test_files_are_small():
    sizes = {path.as_posix(): (ROOT / path).stat().st_size for path in source_tree.files()}
    assert {name: size for name, size in sizes.items() if size > LARGE_FILES.get(name, MOST_BYTES)} == {}
    assert LARGE_FILES.keys() <= sizes.keys(), "LARGE_FILES names a file that is gone"


def undocumented(path: Path) -> list[str]:
    """Returns the public functions and classes of a file, methods included, that have no docstring."""
    missing = []

    def look(node: ast.AST, prefix: str):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not child.name.startswith(
                "_"
            ):
                if ast.get_docstring(child) is None and not overrides_keras(child):
                    missing.append(f"{prefix}{child.name}")
                if isinstance(child, ast.ClassDef):
                    look(child, f"{prefix}{child.name}.")

    look(source_tree.tree(path), "")
    return missing


def overrides_keras(node: ast.AST) -> bool:
    """Methods whose meaning Keras fixes need no words of their own."""
    return getattr(node, "name", "") in {"build", "call", "get_config", "from_config", "compute_output_shape"}


def test_everything_public_has_a_docstring():
    assert [f"{path}: {name}" for path in product() for name in undocumented(path)] == []
    assert [str(path) for path in product() if not ast.get_docstring(source_tree.tree(path))] == []


def test_packages_name_what_they_export():
    listed = {str(path): source_tree.exported(path) for path in product() if path.name == "__init__.py"}
    assert [path for path, names in listed.items() if names is None] == []
    assert [path for path, names in listed.items() if len(set(names)) != len(names)] == []
