"""The project's own files, for tests of the project itself."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def files(*patterns: str) -> list[Path]:
    """Returns the files that git tracks, or would add, whose paths match a pattern of git's; by default all."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted({ROOT / name for name in names if (ROOT / name).is_file()})
