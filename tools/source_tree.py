"""The project's Python files and what they import, read from their syntax trees without running them."""

import ast
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Folders with nothing of ours in them.
GENERATED = {"build", "dist", "runs", "__pycache__"}


@dataclass(frozen=True)
class Import:
    """One imported module.

    Attributes:
        module: the dotted name, e.g. 'keras_dynamic.ops'.
        member: for `from module import member` the member, which may be a module itself; else None.
        line: the line of the import, from 1.
        late: whether it does not run when the file is loaded: it stands in a function or under `if TYPE_CHECKING`.
    """

    module: str
    member: str | None
    line: int
    late: bool

    @property
    def top(self) -> str:
        """The first part of the module's name."""
        return self.module.partition(".")[0]


def files(suffix: str = "") -> list[Path]:
    """Returns the project's files, relative to ROOT and sorted.

    Args:
        suffix: how the names must end, e.g. '.py'.

    Returns:
        Paths relative to ROOT; hidden folders but .ci and folders with generated contents are left out.
    """
    return sorted(path.relative_to(ROOT) for path in _walk(ROOT) if path.name.endswith(suffix))


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name != ".ci"
            made = path.name in GENERATED or path.name.endswith(".egg-info") or path.name.startswith("bazel-")
            if not (hidden or made):
                yield from _walk(path)
        else:
            yield path


@functools.cache
def tree(path: Path) -> ast.Module:
    """Returns the syntax tree of the file at path, which is relative to ROOT."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> list[Import]:
    """Returns everything that the file at path imports outside the standard library.

    Modules that a package names in its `__all__` count as imported late: it may load them on demand.

    Args:
        path: a Python file, relative to ROOT.

    Returns:
        One Import per imported name, in no promised order.

    Raises:
        ValueError: if the file has a relative import.
    """
    found: list[Import] = []
    _collect(tree(path), path, False, found)
    if path.name == "__init__.py":
        package = ".".join(path.parent.parts)
        found += [Import(package, name, 1, True) for name in exported(path) or [] if _is_module(path.parent / name)]
    return [item for item in found if item.top not in sys.stdlib_module_names]


def exported(path: Path) -> list[str] | None:
    """Returns the names in a file's `__all__`, in which `*NAME` may stand for a constant of the file, or None."""
    constants: dict[str, list[str]] = {}
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List | ast.Tuple):
            names: list[str] = []
            for item in node.value.elts:
                names += constants.get(ast.unparse(item.value), []) if isinstance(item, ast.Starred) else _text(item)
            constants[ast.unparse(node.targets[0])] = names
    return constants.get("__all__")


def _text(node: ast.expr) -> list[str]:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _is_module(stem: Path) -> bool:
    return (ROOT / stem / "__init__.py").is_file() or (ROOT / stem).with_suffix(".py").is_file()


def _collect(node: ast.AST, path: Path, late: bool, found: list[Import]) -> None:
    if isinstance(node, ast.Import):
        found.extend(Import(alias.name, None, node.lineno, late) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if node.level or node.module is None:
            raise ValueError(f"{path}:{node.lineno} has a relative import; name the module in full.")
        found.extend(Import(node.module, alias.name, node.lineno, late) for alias in node.names)
    late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types_only(node)
    for child in ast.iter_child_nodes(node):
        _collect(child, path, late, found)


def _is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def source_of(item: Import, importer: Path) -> Path | None:
    """Returns the file of the project that an import reads.

    Args:
        item: the import.
        importer: the file in which it stands, relative to ROOT; a script in a folder that is no package may import
            its neighbours by bare name.

    Returns:
        The file, relative to ROOT, or None for an import from outside the project.
    """
    names = [item.module] if item.member is None else [f"{item.module}.{item.member}", item.module]
    folders = [Path()] if (ROOT / importer.parent / "__init__.py").exists() else [Path(), importer.parent]
    for name in names:
        for folder in folders:
            stem = folder.joinpath(*name.split("."))
            for candidate in (stem.with_name(stem.name + ".py"), stem / "__init__.py"):
                if (ROOT / candidate).is_file():
                    return candidate
    return None
