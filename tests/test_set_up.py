"""The set-up on a small project, with a pip that copies two tiny packages, takes a moment and keeps a diary."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Runs tools/set_up.py with an environment that gets the pip below.
RUNNER = """
import sys
from pathlib import Path

sys.path.insert(0, "tools")
import set_up

set_up.CREATE_VENV = ["create.py"]
set_up.main(Path(".venv").absolute(), "cpu,dev")
"""

CREATE = """
import os, sys, venv
from pathlib import Path

with open("diary", "a") as file:
    file.write("create ")
target = Path(sys.argv[1])
venv.create(target, clear=True, with_pip=False)
(site,) = target.glob("lib/python3*/site-packages")
(site / "pip").mkdir()
(site / "pip/__main__.py").write_text(Path("pip.py").read_text())
if "NO_CONFIG" in os.environ:
    (target / "pyvenv.cfg").unlink()
"""

PIP = """
import os, sys, time
from pathlib import Path

assert os.environ["PIP_REQUIRE_VIRTUALENV"] == "1" and sys.prefix != sys.base_prefix
with open("diary", "a") as file:
    file.write("install ")
time.sleep(float(os.environ.get("SECONDS", 0.1)))
site = Path(__file__).parents[1]
files = {"heavy/__init__.py": os.environ.get("HEAVY", "x = 1"), "keras_dynamic/__init__.py": "import heavy"}
for name in ("keras_dynamic", "Heavy"):
    files[f"{name}-1.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1\\n\"
        "Requires-Dist: heavy>=1; extra == 'cpu'\\nRequires-Dist: absent; extra == 'gpu'\\n"
    )
    files[f"{name}-1.dist-info/top_level.txt"] = name.lower()
for path, text in files.items():
    (site / path).parent.mkdir(exist_ok=True)
    (site / path).write_text(text)
for name in ("keras_dynamic", "Heavy"):
    lines = [f"{path},,{len(text)}" for path, text in files.items() if path.lower().startswith(name.lower())]
    (site / f"{name}-1.dist-info/RECORD").write_text("\\n".join([*lines, f"{name}-1.dist-info/RECORD,,"]))
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "tools").mkdir(parents=True)
    for name in ("set_up.py", "set_up.sh"):
        shutil.copy(ROOT / "tools" / name, folder / "tools")
    for name, text in {"run.py": RUNNER, "create.py": CREATE, "pip.py": PIP, "setup.py": "", "diary": ""}.items():
        (folder / name).write_text(text)
    (folder / "requirements_lock.txt").write_text("heavy==1\n")
    return folder


def start(project, **environment):
    environment = {**os.environ, **environment}
    environment.pop("KERAS_BACKEND", None)
    return subprocess.Popen(
        [sys.executable, "run.py"],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def set_up(project, status=0, **environment):
    """Runs the set-up and returns what it wrote."""
    process = start(project, **environment)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, out + err
    return out + err


def diary(project):
    return (project / "diary").read_text().split()


def test_it_installs_once_and_then_does_nothing(project):
    assert "installing" in set_up(project)
    assert set_up(project) == ""
    assert diary(project) == ["create", "install"]
    packages = json.loads((project / ".venv/.installed").read_text())["packages"]
    assert packages == ["Heavy", "keras_dynamic"]


def test_two_at_once_install_once(project):
    processes = [start(project, SECONDS="1") for _ in range(3)]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert diary(project) == ["create", "install"]
    assert sum("installing" in text for text in outputs) == 1


@pytest.mark.ci
def test_a_killed_set_up_is_waited_for_while_its_pip_runs_and_then_redone(project):
    process = start(project, SECONDS="3")
    while "install" not in diary(project):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    text = set_up(project)
    assert "waiting for another set-up" in text
    assert "is not finished; rebuilding it" in text
    assert diary(project) == ["create", "install", "create", "install"]


@pytest.mark.ci
def test_a_damaged_environment_is_rebuilt(project):
    set_up(project)
    environment = project / ".venv"
    (site,) = environment.glob("lib/python3*/site-packages")
    for damage, words in (
        ((environment / ".installed").unlink, "is not finished"),
        (lambda: (environment / ".installed").write_text(""), "is not finished"),
        ((environment / "pyvenv.cfg").unlink, "has no Python of its own"),
        ((environment / "bin/python").unlink, "has no Python of its own"),
        (lambda: shutil.rmtree(site / "Heavy-1.dist-info"), "has lost the package Heavy"),
        ((site / "Heavy-1.dist-info/RECORD").unlink, "has lost the file"),
        ((site / "heavy/__init__.py").unlink, "has lost the file"),
        (lambda: (site / "heavy/__init__.py").write_text("x ="), "has a changed file heavy/__init__.py"),
    ):
        (project / "diary").write_text("")
        damage()
        assert words in set_up(project)
        assert diary(project) == ["create", "install"], words
    assert set_up(project) == ""


def test_a_moved_environment_is_rebuilt(project):
    set_up(project)
    moved = project.rename(project.with_name("moved"))
    assert "belongs to another folder" in set_up(moved)
    assert set_up(moved) == ""


def test_another_folders_environment_behind_a_link_is_left_alone(project):
    set_up(project)
    other = shutil.copytree(project, project.with_name("other"), symlinks=True)
    shutil.rmtree(other / ".venv")
    (other / ".venv").symlink_to(project / ".venv")
    assert f"is a link to {project / '.venv'}, which belongs to another folder; remove the link." in set_up(other, 1)
    assert set_up(project) == ""


def test_new_requirements_are_installed_into_the_same_environment(project):
    set_up(project)
    (project / "requirements_lock.txt").write_text("heavy==2\n")
    set_up(project)
    assert set_up(project) == ""
    assert diary(project) == ["create", "install", "install"]


def test_a_package_that_cannot_be_imported_leads_to_one_rebuild_and_no_marker(project):
    set_up(project)
    (project / "setup.py").write_text("# new\n")
    text = set_up(project, status=1, HEAVY="import nothing_of_this_name")
    assert "No module named 'nothing_of_this_name'" in text
    assert diary(project) == ["create", "install", "install", "create", "install"]
    assert "is not finished" in set_up(project)


def test_nothing_is_installed_where_the_python_is_not_the_environments_own(project):
    assert "without a Python of its own" in set_up(project, status=1, NO_CONFIG="1")
    assert diary(project) == ["create"]


def test_the_script_looks_for_a_python_that_runs(project):
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/python").symlink_to("nowhere")
    command = ["tools/set_up.sh", ".venv", "cpu"]
    done = subprocess.run(
        command, cwd=project, env={**os.environ, "PYTHON_FOR_VENV": "no_such_python"}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no Python 3.11 or newer found" in done.stderr

    set_up(project)
    environment = {**os.environ, "PYTHON_FOR_VENV": f"no_such_python {sys.executable}"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
