"""The rules of the house that a program can check."""

import ast
from pathlib import Path

import pytest

from tools import source_tree
from tools.source_tree import ROOT

MOST_LINES = 300
MOST_BYTES = 3_000_000

# Larger files that are worth it, and the bytes that each may have.
LARGE_FILES = {
    # The images that gates are trained on, so that the main job needs no download.
    "keras_dynamic/data/shipped/gates.webp": 6_500_000,
}


def product() -> list[Path]:
    return [path for path in source_tree.files(".py") if path.parts[0] == "keras_dynamic"]


@pytest.mark.parametrize("path", product(), ids=str)
def test_files_are_short(path):
    assert len((ROOT / path).read_text().splitlines()) < MOST_LINES


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


@pytest.mark.parametrize("path", product(), ids=str)
def test_everything_public_has_a_docstring(path):
    assert undocumented(path) == []
    assert ast.get_docstring(source_tree.tree(path)), f"{path} has no docstring"


@pytest.mark.parametrize("path", [path for path in product() if path.name == "__init__.py"], ids=str)
def test_packages_name_what_they_export(path):
    listed = source_tree.exported(path)
    assert listed is not None, f"{path} has no __all__"
    assert len(set(listed)) == len(listed)
