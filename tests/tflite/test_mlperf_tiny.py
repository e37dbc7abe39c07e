"""tflite/mlperf_tiny.py: the benchmark's figures of a .tflite."""

import re

import keras
import numpy as np
import pytest

import keras_dynamic as kd
from tests.lite.foreign import converted
from tests.tflite.conftest import ROOT, plain_model

SCRIPT = "mlperf_tiny.py"


def figures(done):
    assert (done.returncode, done.stderr) == (0, "")
    found = re.findall(r"^  (AUC|top-1|mean MACs) +([\d.,]+)$", done.stdout, re.MULTILINE)
    return {name: float(number.replace(",", "")) for name, number in found}


def test_an_area_under_the_curve(module, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tflite")
    area = module("roc").area_under_roc
    assert area([3, 2, 1, 0], [1, 1, 0, 0]) == 1
    assert area([0, 1, 2], [1, 0, 0]) == 0
    assert area([1, 1, 2, 0], [1, 0, 1, 0]) == (0.5 + 1 + 1 + 1) / 4
    with pytest.raises(ValueError, match=r"labels 0 and 1, both, got \[1\]"):
        area([1, 2], [1, 1])


def test_a_classifier_of_another_tool(run, in_classes, images, tmp_path):
    network = plain_model(8)
    (tmp_path / "plain.tflite").write_bytes(converted(network, images, float_ends=False))
    done = run(SCRIPT, "--model=plain.tflite", "--data=in_classes")
    x, y, _ = kd.data.read_folder(in_classes, (16, 16, 3))
    runner = kd.lite.Interpreter((tmp_path / "plain.tflite").read_bytes())
    right = [next(iter(runner.run(image).values())).argmax() == label for image, label in zip(x, y, strict=True)]
    assert figures(done) == {"top-1": pytest.approx(np.mean(right), abs=1e-4)}
    assert "plain.tflite: 40 examples\n" in done.stdout
    macs = kd.cost.tree(network).total_macs
    assert f"MACs        {macs:,}\n" in done.stdout
    assert re.search(r"C           [\d,]+ bytes of flash, [\d,]+ of RAM", done.stdout)


def test_a_network_that_decides(run, model, in_classes, tmp_path):
    (tmp_path / "gated.tflite").write_bytes(kd.lite.export(model, outputs=("logits", "macs")))
    done = run(SCRIPT, "--model=gated.tflite", "--data=in_classes")
    x, y, _ = kd.data.read_folder(in_classes, (16, 16, 3))
    outcome = model.outcome(x)
    accuracy = np.mean(np.asarray(outcome.logits).argmax(-1) == y)
    macs = np.mean(kd.cost.given(model.cost_tree, outcome.decisions))
    assert figures(done) == {"top-1": pytest.approx(accuracy, abs=1e-4), "mean MACs": pytest.approx(macs, abs=1)}
    assert re.search(r"C           [\d,]+ bytes of flash, [\d,]+ of RAM", done.stdout)


def test_a_classifier_of_one_logit(run, tmp_path):
    keras.utils.set_random_seed(0)
    rows, x = keras.Input((8,)), np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    network = keras.Model(rows, keras.layers.Dense(1, activation="sigmoid")(rows))
    (tmp_path / "one.tflite").write_bytes(converted(network))
    found = network.predict(x, verbose=0)[:, 0] > 0.5
    assert 0 < found.mean() < 1
    np.savez(tmp_path / "two.npz", x=x, y=np.where(np.arange(40) < 10, ~found, found))
    assert figures(run(SCRIPT, "--model=one.tflite", "--data=two.npz")) == {"top-1": 0.75}


def test_labels_are_checked_and_may_be_one_hot(run, images, tmp_path):
    network, x = plain_model(4), images.astype(np.float32)
    (tmp_path / "plain.tflite").write_bytes(converted(network))
    np.savez(tmp_path / "good.npz", x=x, y=np.eye(4)[network.predict(x, verbose=0).argmax(-1)])
    assert figures(run(SCRIPT, "--model=plain.tflite", "--data=good.npz")) == {"top-1": 1}
    np.savez(tmp_path / "bad.npz", x=x, y=np.arange(40))
    done = run(SCRIPT, "--model=plain.tflite", "--data=bad.npz")
    assert (done.returncode, done.stdout) == (1, "")
    assert "class numbers from 0 to 3" in done.stderr


def test_an_autoencoder(run, tmp_path):
    """One that hands on what lies in its first half: what has more in the other half is anomalous."""
    rows = keras.Input((8,))
    layer = keras.layers.Dense(8, use_bias=False)
    network = keras.Model(rows, layer(rows))
    layer.set_weights([np.diag([1.0] * 4 + [0.0] * 4)])
    (tmp_path / "autoencoder.tflite").write_bytes(converted(network))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 5, 8)).astype(np.float32), np.arange(30) % 2
    x[:, :, 4:] *= (1 + 0.2 * y)[:, None, None]
    np.savez(tmp_path / "sounds.npz", x=x, y=y)
    scores = np.square(x[:, :, 4:]).sum((1, 2))
    pairs = [one > other for one in scores[y == 1] for other in scores[y == 0]]
    assert 0.5 < np.mean(pairs) < 1
    found = figures(run(SCRIPT, "--model=autoencoder.tflite", "--data=sounds.npz"))
    assert found == {"AUC": pytest.approx(np.mean(pairs), abs=1e-4)}


def test_what_is_refused(run, images, tmp_path):
    (tmp_path / "plain.tflite").write_bytes(converted(plain_model(4)))
    rows = keras.Input((8,))
    labels = keras.Model(rows, keras.layers.Dense(3, activation="sigmoid")(rows))
    (tmp_path / "labels.tflite").write_bytes(converted(labels))
    np.savez(tmp_path / "bare.npz", x=images)
    np.savez(tmp_path / "rows.npz", x=np.ones((6, 8), np.float32), y=np.tile([[0, 1, 1]], (6, 1)))
    for flags, words in (
        (["--model=none.tflite", "--data=bare.npz"], "none.tflite"),
        (["--model=plain.tflite", "--data=bare.npz"], "must be examples x and as many labels y, got 40 and 0"),
        (["--model=labels.tflite", "--data=rows.npz"], "of classifiers, but the answers of labels.tflite are labels"),
        (["--model=bare.npz", "--data=bare.npz"], "Expected a .tflite"),
    ):
        done = run(SCRIPT, *flags)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.startswith("mlperf_tiny: ")
        assert words in done.stderr
