"""The pages' own examples, run by copy and paste; and their links."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import keras
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
COMPRESS = ROOT / ".venv-compress"  # which docs/compression.md needs
MEASUREMENTS = "docs/results.md"  # its commands measure, for minutes to hours

_BLOCK = re.compile(r"^(<!-- slow -->\n+)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_SCRIPT = re.compile(r"^python tflite/")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int  # of its first line in the page, from 1
    slow: bool  # marked so, or after one that is


def blocks(page: str) -> list[Block]:
    """Returns a page's Python blocks, and those sh blocks that run the scripts."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _BLOCK.finditer(text):
        mark, language, code = match.groups()
        if language == "python" or (language == "sh" and _SCRIPT.match(code)):
            line = text.count("\n", 0, match.start(3)) + 1
            found.append(Block(language, code, line, bool(mark) or any(block.slow for block in found)))
    return found


def run(page: str, chosen: list[Block], folder: Path):
    """Runs blocks in order, the Python ones in one namespace, in a folder that has tflite/ and python."""
    (folder / "tflite").symlink_to(ROOT / "tflite")
    (folder / COMPRESS.name).symlink_to(COMPRESS)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in chosen:
        if block.language == "python":
            lined_up = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's line
            exec(compile(lined_up, str(ROOT / page), "exec"), names)
        else:
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            shell = ["bash", "-e", "-c", block.text]
            done = subprocess.run(shell, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{page}, line {block.line}: {done.stderr}"


def with_blocks(slow: bool) -> list[str]:
    return [page for page in PAGES if page != MEASUREMENTS and any(block.slow is slow for block in blocks(page))]


@pytest.fixture
def fresh_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


def marked(page: str):
    """README.md is for every change, the other pages are for CI."""
    return pytest.param(page, marks=() if page == "README.md" else pytest.mark.ci)


@pytest.mark.parametrize("page", map(marked, with_blocks(slow=False)))
@pytest.mark.usefixtures("fresh_start")
def test_examples_run(page, tmp_path):
    run(page, [block for block in blocks(page) if not block.slow], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", with_blocks(slow=True))
@pytest.mark.usefixtures("fresh_start")
def test_slow_examples_run(page, tmp_path):
    if page == "docs/compression.md" and not COMPRESS.exists():
        pytest.skip("TensorFlow Model Optimization is missing; make setup-compress")
    run(page, blocks(page), tmp_path)


def test_the_pages_have_examples():
    assert {"README.md", "docs/gating.md", "docs/cascade.md", "docs/export.md"} <= set(with_blocks(slow=False))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = _BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    targets = [target.partition("#")[0] for target in _LINK.findall(text) if "://" not in target]
    missing = [target for target in targets if target and not (ROOT / page).parent.joinpath(target).exists()]
    assert missing == []
