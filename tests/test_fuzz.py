"""A few damaged files; `make fuzz` tries many."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.ci
@pytest.mark.parametrize("digest", ["kept", "renewed"])
def test_damaged_files_are_refused_or_answer(tmp_path, digest):
    command = [sys.executable, "tools/fuzz.py", "--mutations=120", f"--digest={digest}", f"--json={tmp_path / 'found'}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr[-2000:]
    found = json.loads((tmp_path / "found").read_text())
    assert found["refused"] > 60
    assert sum(found[each] for each in ("refused", "same", "other")) == 120


def test_words_that_are_no_flags():
    command = [sys.executable, "tools/fuzz.py", "more"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "fuzz: unknown arguments ['more']; flags start with --." in ended.stderr
