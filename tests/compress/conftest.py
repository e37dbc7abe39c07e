"""Interpreters for compression: the real environment's, and stand-ins that are quick."""

import sys
from pathlib import Path

import pytest

COMPRESS = Path(__file__).resolve().parents[2] / ".venv-compress/bin/python"

needs_environment = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMPRESS.exists(), reason="TensorFlow Model Optimization is missing; make setup-compress"),
]


@pytest.fixture
def interpreter(tmp_path):
    """Function (code, python) -> path of a script to be given as python=; code knows `twin` and `folder`, its paths."""

    def made(code, python=sys.executable):
        path = tmp_path / "interpreter"
        begin = f"#!{python}\nimport sys\nfrom pathlib import Path\ntwin, folder = map(Path, sys.argv[-2:])\n"
        path.write_text(begin + code)
        path.chmod(0o755)
        return path

    return made
