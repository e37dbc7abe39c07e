"""The job that runs networks as C on emulated microcontrollers: a shipped cascade on two images."""

import shutil

import pytest

from configs.latency import get_config
from keras_dynamic.experiments import records
from keras_dynamic.experiments.jobs import run

TOOLS = ("make", "gcc", "arm-none-eabi-gcc", "qemu-system-arm")
missing = [tool for tool in TOOLS if shutil.which(tool) is None]


@pytest.mark.slow
@pytest.mark.skipif(bool(missing), reason=f"{missing} are not installed")
def test_a_cascade_on_two_machines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["train_main.py", "--config=configs/latency.py:emulator_cascade", "--record=edge"])
    config = get_config("emulator_cascade")
    config.model, config.static = ("resnet8_cifar10_45k", "resnet14_cifar10_45k"), "resnet14_cifar10_45k"
    config.images, config.machines, config.targets = 2, ("m3", "m55"), {"equal_m3": ">= 1"}
    figures = run(config, tmp_path / "run", record="edge")
    for machine in ("m3", "m55"):
        assert figures[f"equal_{machine}"] == 1
        assert figures[f"instructions_{machine}"] > figures["macs_mean"]
        assert figures[f"instructions_share_least_{machine}"] <= figures[f"instructions_share_{machine}"]
        assert figures[f"code_bytes_{machine}"] < 100_000
    assert figures["ram_ratio"] <= 1.02
    (record,) = records.load_all("results")
    assert record.method == "edge"
