"""The job that runs networks as C on emulated microcontrollers: a shipped cascade on two images."""

import os
import shutil

import numpy as np
import pytest

from configs.latency import get_config
from keras_dynamic import lite, zoo
from keras_dynamic.data import shipped
from keras_dynamic.experiments import records
from keras_dynamic.experiments.jobs import run
from keras_dynamic.experiments.jobs.emulator import cmsis_nn, static_file, tflm
from keras_dynamic.lite import flatbuffer

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


@pytest.mark.ci
def test_static_networks_from_files(tmp_path):
    images, network = shipped(), zoo.load("resnet8_cifar10_45k")
    network.save(tmp_path / "own.keras")
    foreign = lite.write_signature(lite.export(network, "int8", images.x_heldout), ["x"], ["y"])
    foreign = flatbuffer.edited(foreign, lambda model: model.metadata.clear())
    (tmp_path / "foreign.tflite").write_bytes(foreign)
    contents = [static_file(str(tmp_path / name), images) for name in ("own.keras", "foreign.tflite")]
    one, other = (lite.Interpreter(content).run(images.x_test[0])["logits"] for content in contents)
    np.testing.assert_array_equal(one, other)


def test_without_what_the_user_brings(monkeypatch):
    for name in ("TFLM_LIB_M3", "CMSIS_NN_LIB_M55", "CMSIS_NN_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TFLM_INCLUDE", "folder")
    with pytest.raises(ValueError, match=r"config\.tflm needs TFLM_LIB_M3 in the environment"):
        tflm("m3")
    with pytest.raises(
        ValueError, match=r"config\.cmsis_nn needs CMSIS_NN_LIB_M55 and CMSIS_NN_DIR in the environment"
    ):
        cmsis_nn("m55")


@pytest.mark.slow
@pytest.mark.skipif(bool(missing) or "TFLM_LIB_M3" not in os.environ, reason="no TFLM_LIB_M3, or no emulator")
def test_beside_tflm(tmp_path):
    config = get_config("emulator_cascade")
    config.model, config.static = ("resnet8_cifar10_45k", "resnet14_cifar10_45k"), "resnet14_cifar10_45k"
    config.images, config.machines, config.tflm = 2, ("m3",), True
    config.cmsis_nn = "CMSIS_NN_LIB_M3" in os.environ
    figures = run(config, tmp_path)
    assert figures["tflm_equal_m3"] == 1
    assert figures["instructions_over_tflm_m3"] < 1
    assert figures["ram_over_tflm_m3"] < 1
    assert figures.get("cmsis_nn_equal_m3", 1) == 1
