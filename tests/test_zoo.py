"""Trained networks by name: what the zoo says of them holds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_dynamic import cost, data, evaluation, zoo

IMAGES = 300
PLAIN = [name for name in zoo.names() if zoo.describe(name)["file"].endswith(".npz")]


def test_the_plain_networks_are_there_and_come_first():
    assert zoo.names()[:4] == [f"resnet{depth}_cifar10_45k" for depth in (8, 14, 20, 32)]


QUICK = ("resnet8_cifar10_45k", "resnet32_cifar10_gated")


@pytest.mark.ci
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.ci) for name in zoo.names()]
)
def test_a_network_is_as_accurate_and_as_dear_as_described(name):
    row, network = zoo.describe(name), zoo.load(name)
    assert cost.tree(network).total_macs == row["macs"]
    images = data.shipped()
    found = evaluation.evaluate(network, images.x_test[:IMAGES], images.y_test[:IMAGES], batch_size=100)
    expected = row["accuracy"]
    assert found.accuracy == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / IMAGES))
    spread = max(found.macs.std(), 1.0)
    assert found.macs.mean() == pytest.approx(row.get("macs_mean", row["macs"]), abs=4 * spread / np.sqrt(IMAGES))
    assert bool(found.decisions) == (name not in PLAIN)


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_network_has_its_name(name):
    assert zoo.load(name).name == name


def test_a_description_is_a_copy():
    zoo.describe(PLAIN[0])["network"]["depth"] = 99
    assert zoo.describe(PLAIN[0])["network"]["depth"] == 8


@pytest.mark.parametrize("ask", [zoo.load, zoo.describe])
def test_an_unknown_name_is_an_error(ask):
    with pytest.raises(
        ValueError, match=r"no network 'resnet20_cifar10' \(did you mean 'resnet20_cifar10_45k'\?\); it has"
    ):
        ask("resnet20_cifar10")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The zoo in a folder of its own, of its smallest network."""
    folder = Path(zoo.__file__).with_name("weights")
    name = PLAIN[0]
    (tmp_path / "zoo.json").write_text(json.dumps({name: zoo.describe(name)}))
    shutil.copy(folder / zoo.describe(name)["file"], tmp_path)
    monkeypatch.setattr(zoo, "_FOLDER", tmp_path)
    zoo._rows.cache_clear()
    yield tmp_path / zoo.describe(name)["file"]
    monkeypatch.undo()
    zoo._rows.cache_clear()


def test_a_changed_file_is_an_error(copied):
    zoo.load(PLAIN[0])
    content = bytearray(copied.read_bytes())
    content[5000] ^= 1
    copied.write_bytes(content)
    with pytest.raises(ValueError, match=r"\.npz is not the file that was measured \(its SHA-256 differs\); install"):
        zoo.load(PLAIN[0])


def test_a_missing_file_is_an_error(copied):
    copied.unlink()
    with pytest.raises(ValueError, match=r"\.npz is missing; install the package again"):
        zoo.load(PLAIN[0])
