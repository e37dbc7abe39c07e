"""The command: what it refuses, in one sentence and before anything is written, and what it hands on."""

import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

import train_main

ROOT = Path(__file__).parents[1]
BASE = f"--config={ROOT / 'configs' / 'base.py'}"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """run(*flags) -> what the command says as it ends; the flags' workdir is tmp_path/run."""

    def command(*given):
        argv = ["train_main.py", f"--workdir={tmp_path / 'run'}", *given]
        monkeypatch.setattr(sys, "argv", argv)
        forget_flags()
        with pytest.raises(SystemExit) as ended:
            train_main.main(train_main.parse(argv))
        return str(ended.value)

    yield command
    forget_flags()


def forget_flags():
    """Undoes an earlier parsing, for which a process has no need."""
    flags.FLAGS.unparse_flags()
    for name in [name for name in flags.FLAGS if name.startswith("config.")]:
        delattr(flags.FLAGS, name)
    for name in ("seed", "data_dir", "record"):
        flags.FLAGS[name].value = None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--config.data.name=cifr10", "Expected the name of an image set, got 'cifr10' (did you mean 'cifar10'?)"),
        ("--data_dir=/no/such/folder", "Expected data_dir to be a folder that holds 'cifar10', got '/no/such/folder'"),
        ("--config.job=trian", "job must be one of "),
    ],
)
def test_what_cannot_be_is_one_sentence(run, tmp_path, given, said):
    message = run(BASE, given)
    assert message.startswith(f"train_main: {said}")
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--config.network.depth=33", "depth must be 6n+2 for basic blocks, e.g. 8, 32 or 110, got 33."),
        ("--config.method.target=1.5", "target must be a number between 0 and 1, got 1.5; give it as a fraction"),
        ("--config.method.always=('stage9_unit1',)", "always names unit 'stage9_unit1', which is not there"),
        ("--config.epochs=3", "targets come down to 0.6 in epoch 41 only, but epochs is 3;"),
        ("--config.network.depth=20", "'zoo:resnet32_cifar10_45k' is a network of {'depth': 32, 'num_classes': 10}"),
    ],
)
def test_configs_that_do_not_fit_together_are_one_sentence(run, tmp_path, given, said):
    message = run(BASE, "--config.data.name=shipped", "--config.data.held_out=500", given)
    assert message.startswith(f"train_main: {said}")
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_data_dir_without_the_set(run, tmp_path):
    (tmp_path / "data").mkdir()
    message = run(BASE, f"--data_dir={tmp_path / 'data'}")
    assert message.startswith(f"train_main: Expected 'cifar10' in {tmp_path / 'data'}, got neither cifar10.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_folder_of_another_run_and_its_seed(run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"seed": 0}')
    message = run(BASE, "--seed=4")
    assert "holds the run of another config (different: " in message
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_words_that_are_no_flags(run):
    assert run(BASE, "quickstart").endswith("unknown arguments ['quickstart']; flags start with --.")


def test_config_files_that_are_not_there(run, monkeypatch):
    monkeypatch.chdir(ROOT)
    message = run("--config=configs/activations.py", "--config.seed=3")
    assert "there is no config file 'configs/activations.py' (did you mean 'configs/activation.py" in message


def test_config_typo_in_a_process_of_its_own(tmp_path):
    command = [sys.executable, str(ROOT / "train_main.py"), BASE, f"--workdir={tmp_path / 'run'}"]
    child = subprocess.run([*command, "--config.method.targt=0.5"], capture_output=True, text=True, cwd=tmp_path)
    assert child.returncode == 1
    assert child.stderr.strip() == (
        'train_main: the config has no key \'targt\'; Did you mean "target" instead of "targt"?'
    )
    assert list(tmp_path.iterdir()) == []


def test_missing_workdir_and_values_of_another_type(tmp_path):
    command = [sys.executable, str(ROOT / "train_main.py"), BASE]
    child = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert child.returncode == 1
    assert "Flag --workdir must have a value" in child.stderr
    assert "Traceback" not in child.stderr
    child = subprocess.run(
        [*command, "--workdir=run", "--config.epochs=ten"], capture_output=True, text=True, cwd=tmp_path
    )
    assert child.returncode == 1
    assert child.stderr.strip().endswith("invalid literal for int() with base 10: 'ten'")
    assert "Traceback" not in child.stderr
    config = f"--config={ROOT / 'configs' / 'channels.py'}:half"
    child = subprocess.run([*command[:2], config, "--workdir=run"], capture_output=True, text=True, cwd=tmp_path)
    assert child.returncode == 1
    assert child.stderr.strip() == (
        "train_main: the config has the settings pruned, pruned_finetuned, conditional, conditional_finetuned, "
        "got 'half'; write CONFIG.py:pruned."
    )
    assert list(tmp_path.iterdir()) == []
