"""Batch scoring: every image once, whatever is given, however often it is interrupted, by however many processes."""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import keras
import numpy as np
import pytest

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.layers import DynamicModel
from keras_dynamic.serving import answers, score


@pytest.fixture
def make(toy_chain):
    """Function (seed) -> a gated model, whose layers have new names each time."""

    def made(seed=0):
        model = DynamicModel(toy_chain(seed=seed), PerUnitGates())
        model.build((None, 8, 8, 3))
        return model

    return made


@pytest.fixture
def model(make, toy_images, spread_gates):
    found = make()
    spread_gates(found, toy_images(16))
    return found


def names(paths):
    return [path.name for path in paths]


def joined(paths):
    parts = [np.load(path) for path in paths]
    return {name: np.concatenate([part[name] for part in parts]) for name in ("logits", "decisions", "macs", "index")}


def check(model, images, paths):
    found, expected = joined(paths), answers(model)(images)
    np.testing.assert_allclose(found["logits"], expected["logits"], atol=1e-5)
    np.testing.assert_array_equal(found["decisions"], expected["decisions"])
    np.testing.assert_array_equal(found["macs"], expected["macs"])
    np.testing.assert_array_equal(found["index"], np.arange(len(images)))


def test_whatever_holds_the_images(model, toy_images, tmp_path):
    import tensorflow as tf

    images = toy_images(11)
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "files").mkdir()
    np.savez(tmp_path / "files" / "a.npz", x=images[:7], y=np.zeros(7))
    np.save(tmp_path / "files" / "b.npy", images[7:])
    (tmp_path / "files" / "notes.txt").touch()
    data = tf.data.Dataset.from_tensor_slices((images, np.zeros(11)))
    given = {
        "array": images,
        "batches": [images[:2], images[2:9], images[9:]],
        "generator": (images[start : start + 4] for start in range(0, 11, 4)),
        "data set": data.batch(3),
        "file": tmp_path / "images.npy",
        "folder": str(tmp_path / "files"),
    }
    for name, each in given.items():
        paths = score(model, each, tmp_path / name, shard_size=4, batch_size=3)
        assert names(paths) == ["part-00000.npz", "part-00001.npz", "part-00002.npz"]
        check(model, images, paths)
    manifest = json.loads((tmp_path / "array" / "manifest.json").read_text())
    assert (manifest["shard_size"], manifest["decisions"]) == (4, model.decision_names)
    assert sorted(names((tmp_path / "array").iterdir())) == ["manifest.json", *names(paths)]


class Interrupted(Exception):
    pass


def test_an_interrupted_call_is_gone_on_with(model, toy_images, tmp_path, monkeypatch):
    import sys

    module, images, seen = sys.modules["keras_dynamic.serving.score"], toy_images(10), []

    def counted(model, most):
        answer = answers(model)

        def run(images):
            if len(seen) == most:
                raise Interrupted
            seen.append(len(images))
            return answer(images)

        return run

    monkeypatch.setattr(module, "answers", lambda model: counted(model, 3))
    with pytest.raises(Interrupted):  # in the second part, of which nothing is left
        score(model, images, tmp_path / "out", shard_size=4, batch_size=2)
    assert sorted(names((tmp_path / "out").iterdir())) == ["manifest.json", "part-00000.npz"]
    before = (tmp_path / "out" / "part-00000.npz").stat().st_mtime_ns
    seen.clear()
    monkeypatch.setattr(module, "answers", lambda model: counted(model, 9))
    paths = score(model, images, tmp_path / "out", shard_size=4, batch_size=2)
    assert seen == [2, 2, 2]
    assert (tmp_path / "out" / "part-00000.npz").stat().st_mtime_ns == before
    check(model, images, paths)


def test_shards_are_those_of_one_call(model, toy_images, tmp_path):
    images = toy_images(10)
    first = score(model, images, tmp_path, shard_size=3, shard=(0, 3))
    assert names(first) == ["part-00000.npz", "part-00003.npz"]
    assert names(score(model, images, tmp_path, shard_size=3, shard=(1, 3))) == ["part-00001.npz"]
    assert names(score(model, images, tmp_path, shard_size=3, shard=(2, 3))) == ["part-00002.npz"]
    check(model, images, sorted(tmp_path.glob("part-*.npz")))
    assert score(model, images, tmp_path / "few", shard_size=10, shard=(1, 2)) == []


@pytest.mark.ci
def test_two_processes(model, toy_images, tmp_path):
    images = toy_images(10)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    arguments = str(tmp_path / "model.keras"), tmp_path / "images.npy", tmp_path / "out"
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(score, *arguments, shard_size=3, shard=(place, 2)) for place in range(2)]
        paths = [each.result() for each in futures]
    assert [names(each) for each in paths] == [
        ["part-00000.npz", "part-00002.npz"],
        ["part-00001.npz", "part-00003.npz"],
    ]
    check(model, images, sorted(path for each in paths for path in each))
    score(model, images, tmp_path / "out", shard_size=3)  # of the model that was not loaded: the same digest


def test_the_same_network_under_other_names_is_the_same(make, toy_images, tmp_path):
    score(make(), toy_images(4), tmp_path, shard_size=4)
    again = make()
    assert again.weights[0].path != make().weights[0].path
    assert names(score(again, toy_images(4), tmp_path, shard_size=4)) == ["part-00000.npz"]
    again.save(tmp_path / "model.keras")
    score(keras.models.load_model(tmp_path / "model.keras"), toy_images(4), tmp_path, shard_size=4)


def test_another_network_is_refused(make, toy_images, tmp_path):
    score(make(), toy_images(4), tmp_path, shard_size=4)
    weights, threshold, activation = make(), make(), make()
    weights.weights[-1].assign(weights.weights[-1] + 1)
    threshold.decider.set_tau(0.4)
    activation.chain.units[0].body.layers[2].negative_slope = 0.1
    for other in (weights, threshold, activation):
        with pytest.raises(ValueError, match=r"holds parts of another model, '[0-9a-f]{64}' where this call has"):
            score(other, toy_images(4), tmp_path, shard_size=4)


def test_other_images_or_shards_are_refused(model, toy_images, tmp_path):
    images = toy_images(8)
    score(model, images, tmp_path, shard_size=4)
    changed = images.copy()
    changed[5, 0, 0, 0] ^= 1
    with pytest.raises(ValueError, match=r"part-00001.npz was written for other images than 4 to 7 of these"):
        score(model, changed, tmp_path, shard_size=4)
    with pytest.raises(ValueError, match=r"part-00001.npz is of more images than the 1 parts of these have"):
        score(model, images[:4], tmp_path, shard_size=4)
    with pytest.raises(ValueError, match=r"part-00001.npz was written for other images than 4 to 6"):
        score(model, images[:7], tmp_path, shard_size=4)
    with pytest.raises(ValueError, match="holds parts of another shard size, 4 where this call has 5"):
        score(model, images, tmp_path, shard_size=5)
    (tmp_path / "part-00001.npz").write_bytes((tmp_path / "part-00001.npz").read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"part-00001.npz is no whole part, .*; delete it, score again"):
        score(model, images, tmp_path, shard_size=4)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"holds parts but no manifest.json"):
        score(model, images, tmp_path, shard_size=4)


def test_what_cannot_be_scored(model, toy_images, tmp_path):
    cases = [
        ({"images": []}, "score takes at least one image, got none"),
        ({"images": toy_images(2)[:, :7]}, r"takes inputs of shape \[8, 8, 3\], got \[7, 8, 3\]"),
        ({"images": list(toy_images(2))}, r"takes inputs of shape \[8, 8, 3\], got \[8, 3\]"),
        ({"images": tmp_path}, "expected a folder of .npy or .npz files with images"),
        ({"shard_size": 0}, "shard_size must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"shard": (2, 2)}, r"shard must be \(i, n\) with whole numbers 0 <= i < n, got \(2, 2\)"),
        ({"shard": 1}, r"shard must be \(i, n\)"),
        ({"model": "model"}, "model"),
    ]
    for number, (arguments, words) in enumerate(cases):
        whole = {"model": model, "images": toy_images(2), "folder": tmp_path / "out" / str(number), **arguments}
        with pytest.raises(ValueError, match=words):
            score(**whole)
    np.savez(tmp_path / "images.npz", images=toy_images(2))
    with pytest.raises(ValueError, match=r"an .npz with images x, got .*images.npz"):
        score(model, tmp_path / "images.npz", tmp_path / "out")
