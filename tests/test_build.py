"""The BUILD files against the files on disk, their imports and setup.py.

Only the reading of imports from syntax trees is shared with tools/build_files.py. Everything else is worked out anew:
owners of files come from the BUILD files, distributions from what is installed.
"""

import ast
import importlib.metadata
import re
from functools import cache
from pathlib import Path

from tools import source_tree
from tools.source_tree import ROOT

RULES = {"py_library", "py_binary", "py_test"}


class Target(dict):
    """The attributes of one rule, with its `rule` and the `folder` of its BUILD file."""

    @property
    def sources(self) -> list[str]:
        return [(self["folder"] / name).as_posix() for name in self.get("srcs", [])]

    @property
    def label(self) -> str:
        return absolute(f":{self['name']}", self["folder"])


def absolute(label: str, folder: Path) -> str:
    """Returns a label as //package:name or @repository//package:name."""
    if label.startswith(":"):
        return f"//{folder.as_posix().removeprefix('.')}{label}"
    return label if ":" in label else f"{label}:{label.rpartition('/')[2]}"


@cache
def parsed(path: Path) -> list[ast.Call]:
    """Returns the calls at the top of a BUILD or MODULE.bazel file: the part of Starlark they use is Python as well."""
    body = ast.parse((ROOT / path).read_text(), filename=str(path)).body
    return [node.value for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]


@cache
def targets() -> list[Target]:
    found = []
    for path in source_tree.files("BUILD"):
        for call in parsed(path):
            if ast.unparse(call.func) in RULES:
                attributes = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
                found.append(Target(attributes, rule=ast.unparse(call.func), folder=path.parent))
    return found


@cache
def owners() -> dict[str, list[Target]]:
    found: dict[str, list[Target]] = {}
    for target in targets():
        for source in target.sources:
            found.setdefault(source, []).append(target)
    return found


def owner(source: Path) -> Target:
    (target,) = owners()[source.as_posix()]
    return target


@cache
def constant_of_setup(name: str):
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"setup.py assigns no {name}")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", re.split(r"[\[<>=!~; ]", name)[0]).lower()


@cache
def installed() -> dict[str, list[str]]:
    return importlib.metadata.packages_distributions()


@cache
def distributions(module: str) -> set[str]:
    """Returns the distributions that install a module, or its own name where it isn't installed."""
    names = {normal(name) for name in installed().get(module, [module])}
    # The build for GPUs is installed instead of the locked one for CPUs.
    return {"tensorflow_cpu"} if "tensorflow" in names else names


def test_every_python_file_is_in_exactly_one_target():
    listed = sorted(source for target in targets() for source in target.sources)
    assert listed == sorted(path.as_posix() for path in source_tree.files(".py") if path != Path("setup.py"))


def test_labels_are_unique_and_name_what_exists():
    labels = [target.label for target in targets()]
    assert len(labels) == len(set(labels))
    for target in targets():
        for label in target.get("deps", []):
            if not label.startswith("@"):
                assert absolute(label, target["folder"]) in labels, f"{target.label} depends on a missing {label}"


def test_deps_are_exactly_the_imports():
    wrong = {}
    for target in targets():
        actual = [absolute(label, target["folder"]) for label in target.get("deps", [])]
        if sorted(actual) != sorted(expected_deps(target)):
            wrong[target.label] = sorted(actual), sorted(expected_deps(target))
    assert wrong == {}


def expected_deps(target: Target) -> set[str]:
    expected = set()
    for source in map(Path, target.sources):
        for item in source_tree.imports(source):
            inside = source_tree.source_of(item, source)
            if inside is not None:
                expected.add(owner(inside).label)
            elif item.top not in source_tree.FOUND_ON_DEVICES:
                (known,) = distributions(item.top) & locked() or distributions(item.top)
                expected.add(f"@pip//{known}:{known}")
        if target["rule"] == "py_test":
            expected.add("@pip//pytest:pytest")
            conftests = [folder / "conftest.py" for folder in source.parents]
            expected |= {owner(conftest).label for conftest in conftests if (ROOT / conftest).exists()}
    return expected - {target.label}


@cache
def locked() -> set[str]:
    lines = (ROOT / "requirements_lock.txt").read_text().splitlines()
    return {normal(line) for line in lines if line and not line.startswith("#")}


def test_third_party_deps_are_declared_in_setup_and_locked():
    extras = constant_of_setup("EXTRAS")
    declared = {normal(name) for names in [constant_of_setup("BASE"), *extras.values()] for name in names}
    # An environment has cpu or gpu, and compress stands alone (setup.py): the lock has the default ones.
    unlocked = {normal(name) for name in extras["gpu"] + extras["compress"]}
    used = {label.removeprefix("@pip//") for target in targets() for label in target.get("deps", []) if label[0] == "@"}
    assert used <= declared
    assert used - unlocked <= locked()
    assert declared - unlocked <= locked()


def test_each_package_is_a_library_and_each_script_a_binary():
    for folder in {path.parent for path in source_tree.files(".py") if path.parts[0] == "keras_dynamic"}:
        assert owner(folder / "__init__.py")["rule"] == "py_library"
        assert owner(folder / "__init__.py")["name"] == folder.name
    scripts = [path for path in source_tree.files(".py") if path.parts[0] == "tflite" or path.name == "train_main.py"]
    for path in scripts:
        if "__main__" in path.read_text():
            assert owner(path)["rule"] == "py_binary"
            assert owner(path)["name"] == path.stem


def test_each_test_file_is_a_test_that_pytest_runs():
    for path in source_tree.files(".py"):
        if path.name.startswith("test_"):
            target = owner(path)
            assert target["rule"] == "py_test"
            assert target["srcs"] == [path.relative_to("tests").as_posix()]
            assert target["main_module"] == "pytest"
            assert target["args"][0] == path.as_posix()


def test_shipped_files_are_data_of_their_package():
    in_data = {
        (target["folder"] / name).as_posix()
        for target in targets()
        for name in target.get("data", [])
        if not name.startswith((":", "/", "@"))
    }
    shipped = {
        path.relative_to(ROOT).as_posix()
        for package, patterns in constant_of_setup("PACKAGE_DATA").items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert in_data == shipped


def test_every_file_inside_the_package_is_a_source_or_ships():
    inside = {path.as_posix() for path in source_tree.files() if path.parts[0] == "keras_dynamic"}
    known = {source for target in targets() for source in target.sources}
    known |= {(target["folder"] / name).as_posix() for target in targets() for name in target.get("data", [])}
    assert {path for path in inside - known if not path.endswith("/BUILD")} == set()


def test_module_and_setup_agree():
    calls = {
        ast.unparse(call.func): {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        for call in parsed(Path("MODULE.bazel"))
    }
    assert calls["module"] == {"name": "keras_dynamic", "version": constant_of_setup("VERSION")}
    assert calls["bazel_dep"]["name"] == "rules_python"
    assert calls["pip.parse"]["hub_name"] == "pip"
    assert calls["pip.parse"]["requirements_lock"] == "//:requirements_lock.txt"
