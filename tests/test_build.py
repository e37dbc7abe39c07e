"""The BUILD files, run as Python with stand-ins for Bazel's functions: what they cover, name and require."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests import project
from tests.project import ROOT

PACKAGES = [ROOT, *(ROOT / name for name in ("configs", "keras_dynamic", "tests", "tflite"))]

# Python that Starlark has as well, at the top of a BUILD file.
STARLARK = (
    *(ast.Module, ast.Expr, ast.Assign, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Store, ast.Constant),
    *(ast.List, ast.ListComp, ast.comprehension, ast.Subscript, ast.Slice, ast.BinOp, ast.Add, ast.UnaryOp, ast.USub),
)


def files_of(folder: Path, include: list[str], exclude: list[str] = ()) -> list[str]:
    """Bazel's glob: files below folder, but not those of folders with a BUILD file of their own."""

    def matches(patterns):
        found = {path for pattern in patterns for path in folder.glob(pattern + "/*" * pattern.endswith("**"))}
        return {path for path in found if path.is_file()}

    found = [
        path
        for path in matches(include) - matches(exclude)
        if next(parent for parent in path.parents if (parent / "BUILD").exists()) == folder
    ]
    return sorted(path.relative_to(folder).as_posix() for path in found)


@cache
def targets() -> dict[str, dict]:
    """Returns the attributes of every target, its rule among them, by its label."""
    found = {}
    for folder in PACKAGES:
        package = f"//{folder.relative_to(ROOT).as_posix()}".removesuffix(".")

        def rule(kind, package=package, folder=folder):
            def declare(name, **attributes):
                label = f"{package}:{name}"
                assert label not in found
                sources = [folder / source for source in attributes.get("srcs", [])]
                found[label] = {
                    "deps": [],
                    "data": [],
                    **attributes,
                    "rule": kind,
                    "sources": sources,
                    "folder": folder,
                }

            return declare

        names = {"load": lambda *_: None, "package": lambda **_: None, "exports_files": lambda _: None, "len": len}
        names |= {kind: rule(kind) for kind in ("py_library", "py_binary", "py_test")}
        names["glob"] = lambda include, exclude=(), folder=folder: files_of(folder, include, exclude)
        text = (folder / "BUILD").read_text()
        exec(compile(text, str(folder / "BUILD"), "exec"), {"__builtins__": {}, **names})
    return found


def labels(target: dict, attribute: str) -> set[str]:
    """Returns the labels of an attribute in full; files are left out."""
    package = f"//{target['folder'].relative_to(ROOT).as_posix()}".removesuffix(".")
    found = set()
    for label in target[attribute]:
        if label.startswith(":"):
            found.add(package + label)
        elif label.startswith("//"):
            found.add(label if ":" in label else f"{label}:{label.rpartition('/')[2]}")
    return found


def packages(target: dict) -> set[str]:
    """Returns the packages from PyPI that a target requires."""
    return {label.removeprefix("@pip//") for label in target["deps"] if label.startswith("@pip//")}


def normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "_", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


@cache
def constant_of_setup(name: str):
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"setup.py assigns no {name}")


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_build_files_are_starlark(folder):
    other = [node for node in ast.walk(ast.parse((folder / "BUILD").read_text())) if not isinstance(node, STARLARK)]
    assert [f"line {node.lineno}: {ast.unparse(node)}" for node in other] == []


def test_labels_name_what_exists():
    for label, target in targets().items():
        assert labels(target, "deps") | labels(target, "data") <= targets().keys(), label
        for source in target["sources"]:
            assert source.is_file(), label


def test_every_python_file_has_a_target():
    assert project.files("*.py") == sorted({path for target in targets().values() for path in target["sources"]})
    assert {path.parent for path in project.files("BUILD", "*/BUILD")} == {*PACKAGES}


def test_scripts_are_binaries_and_test_files_tests():
    scripts = [path for path in (ROOT / "tflite").glob("*.py") if "__main__" in path.read_text()]
    binaries = [target["sources"] for target in targets().values() if target["rule"] == "py_binary"]
    assert sorted(binaries) == sorted([path] for path in [*scripts, ROOT / "train_main.py"])
    tests = [target for target in targets().values() if target["rule"] == "py_test"]
    assert {path for target in tests for path in target["sources"]} == {*(ROOT / "tests").rglob("test_*.py")}
    for target in tests:
        assert target["main_module"] == "pytest"
        assert (ROOT / target["args"][0],) == (*target["sources"],)


def test_the_library_ships_the_same_files_as_setup():
    shipped = {
        path.relative_to(ROOT / "keras_dynamic").as_posix()
        for package, patterns in constant_of_setup("PACKAGE_DATA").items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert {*targets()["//keras_dynamic:keras_dynamic"]["data"]} == shipped


def test_the_library_requires_what_setup_declares_and_all_of_it_is_locked():
    extras = constant_of_setup("EXTRAS")
    # The lock file is of an environment with TensorFlow for CPUs; compress needs one of its own.
    declared = {normal(name) for extra, names in extras.items() if extra not in ("gpu", "compress") for name in names}
    declared |= set(map(normal, constant_of_setup("BASE")))
    of_the_library = declared - {normal(name) for name in extras["dev"]} | {"jax"}
    assert packages(targets()["//keras_dynamic:keras_dynamic"]) == of_the_library
    lines = (ROOT / "requirements_lock.txt").read_text().splitlines()
    locked = {normal(line) for line in lines if not line.startswith("#")}
    assert declared <= locked
    assert set().union(*map(packages, targets().values())) <= declared


def test_module_and_setup_agree():
    module = (ROOT / "MODULE.bazel").read_text()
    assert re.search(r'^module\(\n    name = "(.*)",\n    version = "(.*)"', module, re.MULTILINE).groups() == (
        "keras_dynamic",
        constant_of_setup("VERSION"),
    )
    assert 'requirements_lock = "//:requirements_lock.txt"' in module
