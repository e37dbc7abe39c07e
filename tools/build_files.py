"""Writes the BUILD files from the sources on disk and their imports.

    python -m tools.build_files            # write
    python -m tools.build_files --check    # say which are out of date, and exit with 1 if any is

The rules: a folder under keras_dynamic/ is one py_library, except that in keras_dynamic/ itself every module beside
__init__.py is one of its own (a sub-package may then import keras_dynamic.zoo, although __init__ imports that package).
Elsewhere a file with a main guard is a py_binary and the others of its folder are one py_library. Each test file is a
py_test, all of them in tests/BUILD. Files that the package ships are `data` of the target that names their folder.
"""

import argparse
import ast
import os
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from tools import source_tree

# Import names that differ from their distribution's beyond case, '-' and '_'.
DISTRIBUTIONS = {"absl": "absl-py", "PIL": "pillow", "tensorflow": "tensorflow-cpu"}

# Tests that read the whole source tree: Bazel must not keep their results, as it doesn't know what they read.
WHOLE_TREE = {"tests/test_build.py", "tests/test_house.py", "tests/test_imports.py"}


@dataclass
class Target:
    """One rule in a BUILD file.

    Attributes:
        rule: py_library, py_binary or py_test.
        folder: the folder of the BUILD file, relative to the project's root.
        name: the target's name.
        srcs: its Python files, relative to the project's root.
        data: labels of what it reads at run time.
        deps: labels of what its sources import.
        extra: further attributes.
    """

    rule: str
    folder: Path
    name: str
    srcs: list[Path]
    data: set[str] = field(default_factory=set)
    deps: set[str] = field(default_factory=set)
    extra: dict[str, object] = field(default_factory=dict)

    def label(self, seen_from: Path) -> str:
        """Returns the target's label, as short as it may be in a given folder's BUILD file."""
        if self.folder == seen_from:
            return f":{self.name}"
        package = self.folder.as_posix().removeprefix(".")
        return f"//{package}" if self.name == self.folder.name else f"//{package}:{self.name}"


def targets() -> list[Target]:
    """Returns every target of the project, with data and deps filled in."""
    found = []
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in source_tree.files(".py"):
        folders[Path("tests") if path.parts[0] == "tests" else path.parent].append(path)
    for folder, paths in folders.items():
        found += _targets_of(folder, paths)
    owners = {path: target for target in found for path in target.srcs}
    for target in found:
        target.deps |= _dependencies(target, owners)
        if target.rule == "py_test":
            target.data |= _scripts_named_in(target, found)
    _hand_out_shipped_files(found)
    return found


def _targets_of(folder: Path, paths: list[Path]) -> list[Target]:
    if folder == Path("tests"):
        return [_test_target(path) for path in paths]
    alone: list[Path] = []
    if folder == Path("keras_dynamic"):
        alone = [path for path in paths if path.name != "__init__.py"]
    elif folder.parts[:1] != ("keras_dynamic",):
        alone = [path for path in paths if _is_script(path)]
    # setup.py is pip's; Bazel has no use for it.
    together = [path for path in paths if path not in alone and path != Path("setup.py")]
    found = [Target("py_library", folder, folder.name or "sources", together)] if together else []
    for path in alone:
        if path != Path("setup.py"):
            found.append(Target("py_binary" if _is_script(path) else "py_library", folder, path.stem, [path]))
    for target in found:
        if target.srcs == [Path("train_main.py")]:
            target.data.add("//configs")  # read by path: --config=configs/quickstart.py
    return found


def _test_target(path: Path) -> Target:
    name = path.relative_to("tests").with_suffix("").as_posix()
    if not path.name.startswith("test_"):
        return Target("py_library", Path("tests"), name, [path], extra={"testonly": True})
    nodes = ast.walk(source_tree.tree(path))
    tests = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    slow = bool(tests) and all("slow" in "".join(map(ast.unparse, node.decorator_list)) for node in tests)
    extra: dict[str, object] = {"args": [path.as_posix()]}
    if slow:
        # pytest deselects slow tests by default and would end without having run any.
        extra = {"timeout": "eternal", "args": [path.as_posix(), "-m", "slow"]}
    extra["main_module"] = "pytest"
    tags = (["external", "local"] if path.as_posix() in WHOLE_TREE else []) + (["manual"] if slow else [])
    if tags:
        extra["tags"] = tags
    return Target("py_test", Path("tests"), name, [path], {"//:pyproject.toml"}, {"@pip//pytest"}, extra)


def _is_script(path: Path) -> bool:
    return any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in source_tree.tree(path).body
    )


def _dependencies(target: Target, owners: dict[Path, Target]) -> set[str]:
    labels = set()
    for path in target.srcs:
        for item in source_tree.imports(path):
            source = source_tree.source_of(item, path)
            if source is not None and owners[source] is not target:
                labels.add(owners[source].label(target.folder))
            elif source is None and item.top not in source_tree.FOUND_ON_DEVICES:
                labels.add("@pip//" + DISTRIBUTIONS.get(item.top, item.top).lower().replace("-", "_"))
        for conftest in (folder / "conftest.py" for folder in path.parents):
            if target.rule == "py_test" and conftest in owners:
                labels.add(owners[conftest].label(target.folder))
    return labels


def _scripts_named_in(target: Target, found: list[Target]) -> set[str]:
    """A test that names a script by file name runs it in a process of its own."""
    texts = [text for path in target.srcs for text in _texts(path)]
    runnable = [
        other
        for other in found
        if other.rule == "py_binary"
        or (other.rule == "py_library" and other.folder == target.folder and not other.name.endswith("conftest"))
    ]
    return {
        other.label(target.folder)
        for other in runnable
        if any(text.endswith(source.name) for text in texts for source in other.srcs)
    }


def _hand_out_shipped_files(found: list[Target]) -> None:
    """Gives each file of setup.py's PACKAGE_DATA to the target in whose sources its folder is named."""
    for package, patterns in package_data().items():
        base = Path(*package.split("."))
        candidates = [target for target in found if target.folder == base]
        for path in source_tree.files():
            if not any(fnmatch(path.as_posix(), f"{base.as_posix()}/{pattern}") for pattern in patterns):
                continue
            folder = path.relative_to(base).parts[0]
            naming = [target for target in candidates for source in target.srcs if folder in _texts(source)]
            for target in naming or candidates[:1]:
                target.data.add(path.relative_to(base).as_posix())


def package_data() -> dict[str, list[str]]:
    """Returns setup.py's PACKAGE_DATA: patterns of shipped files by package."""
    for node in source_tree.tree(Path("setup.py")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PACKAGE_DATA":
            return ast.literal_eval(node.value)
    raise ValueError("setup.py assigns no PACKAGE_DATA; put the patterns of shipped files there.")


def _texts(path: Path) -> list[str]:
    nodes = ast.walk(source_tree.tree(path))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def render(folder: Path, members: list[Target]) -> str:
    """Returns the text of one BUILD file in buildifier's form.

    Args:
        folder: the file's folder, relative to the project's root.
        members: its targets, of which each is written under its name.

    Returns:
        The file's text.
    """
    rules = sorted({target.rule for target in members})
    lines = [f'load("@rules_python//python:defs.bzl", {", ".join(map(_literal, rules))})', ""] if rules else []
    lines += ['package(default_visibility = ["//visibility:public"])', ""]
    if folder == Path():
        lines += ["exports_files([", '    "pyproject.toml",', '    "requirements_lock.txt",', "])", ""]
    for target in sorted(members, key=lambda target: (target.rule, target.name)):
        srcs = [path.relative_to(folder).as_posix() for path in target.srcs]
        data, deps = _in_order(target.data), _in_order(target.deps)
        attributes = {"name": target.name, "srcs": srcs, "data": data, "deps": deps, **target.extra}
        lines.append(f"{target.rule}(")
        lines += [f"    {key} = {_literal(attributes[key])}," for key in _PLACES if attributes.get(key)]
        lines += [")", ""]
    return "\n".join(lines)


# buildifier's order of attributes.
_PLACES = ["name", "timeout", "testonly", "srcs", "args", "data", "main_module", "tags", "deps"]


def _in_order(labels: set[str]) -> list[str]:
    """In buildifier's order: files, then :neighbours, //others and @repositories."""
    return sorted(labels, key=lambda label: ({":": 1, "/": 2, "@": 3}.get(label[0], 0), label.replace(":", "!")))


def _literal(value: object) -> str:
    if isinstance(value, list):
        texts = [f'"{item}"' for item in value]
        return f"[{texts[0]}]" if len(texts) == 1 else "[\n" + "".join(f"        {text},\n" for text in texts) + "    ]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def main() -> int:
    """Writes or checks the BUILD files; returns the exit status."""
    parser = argparse.ArgumentParser(description="Writes the BUILD files from the sources and their imports.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if any is out of date")
    check = parser.parse_args().check
    by_folder: dict[Path, list[Target]] = defaultdict(list, {Path(): []})
    for target in targets():
        by_folder[target.folder].append(target)
    texts = {folder / "BUILD": render(folder, members) for folder, members in by_folder.items()}
    present = {path for path in source_tree.files() if path.name == "BUILD"}
    stale = {path for path in texts if path not in present or (source_tree.ROOT / path).read_text() != texts[path]}
    for path in sorted(stale | (present - set(texts))):
        print(f"{path} is out of date; run `make build-files`." if check else f"writing {path}")
    if not check:
        for path in present - set(texts):
            (source_tree.ROOT / path).unlink()
        for path in stale:
            part = source_tree.ROOT / path.with_name("BUILD.part")
            part.write_text(texts[path])
            os.replace(part, source_tree.ROOT / path)
    return int(check and bool(stale | (present - set(texts))))


if __name__ == "__main__":
    sys.exit(main())
