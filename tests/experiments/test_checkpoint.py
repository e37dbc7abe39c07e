import keras
import numpy as np
import pytest

from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.experiments import Checkpoint, load_weights, save
from keras_dynamic.experiments.checkpoint import read_note
from keras_dynamic.layers import DynamicModel


@pytest.fixture
def gated(toy_chain):
    """gated(units, seed) -> compiled DynamicModel whose gates sample."""

    def make(units=2, seed=0):
        model = DynamicModel(toy_chain(units, seed=seed), PerUnitGates(open_probability=0.6, seed=seed), name="toy")
        model.build((None, 8, 8, 3))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
        return model

    return make


def saved(model, folder):
    """A checkpoint of the model after one epoch, without running it."""
    checkpoint = Checkpoint(folder)
    checkpoint.set_model(model)
    checkpoint.on_epoch_end(0)
    return checkpoint


def fit(model, images, **how):
    labels = np.arange(len(images)) % 3
    return model.fit(images, labels, batch_size=4, verbose=0, shuffle=False, **how)


def test_nothing_saved_is_nothing_run(gated, tmp_path):
    model = gated()
    before = model.get_weights()
    assert Checkpoint(tmp_path / "checkpoint").restore(model) == 0
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_going_on_equals_never_having_stopped(gated, toy_images, tmp_path):
    images = toy_images(12)
    whole = gated(units=1)
    fit(whole, images, epochs=3)
    fit(gated(units=1), images, epochs=2, callbacks=[Checkpoint(tmp_path / "checkpoint")])
    other = gated(units=1, seed=5)  # other weights and other samples, all of which the checkpoint replaces
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    assert checkpoint.restore(other) == 2
    fit(other, images, initial_epoch=2, epochs=3)
    for one, two in zip(whole.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_one_whole_file_and_then_none(gated, tmp_path):
    checkpoint = saved(gated(), tmp_path / "checkpoint")
    checkpoint.on_epoch_end(1)
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["latest.npz"]
    checkpoint.remove()
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_another_architecture_is_refused_and_nothing_changes(gated, tmp_path):
    checkpoint = saved(gated(units=3), tmp_path / "checkpoint")
    model = gated(units=2)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"latest\.npz holds the weights of another architecture than model 'toy' \("):
        checkpoint.restore(model)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_cut_short(gated, tmp_path):
    checkpoint = saved(gated(), tmp_path / "checkpoint")
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"latest\.npz to be .* cannot be read .*; delete the folder of the run"):
        checkpoint.restore(gated())


@pytest.mark.parametrize("wrong", ["no epoch", "epochs", "text", "other name"])
def test_other_arrays_are_no_checkpoint_and_nothing_changes(wrong, gated, tmp_path):
    checkpoint = saved(gated(seed=1), tmp_path / "checkpoint")
    arrays = dict(np.load(checkpoint.path))
    last = f"{len(arrays) - 2:05d}"
    if wrong == "no epoch":
        del arrays["epoch"]
    elif wrong == "other name":
        arrays["a"] = arrays.pop(last)
    else:
        arrays["epoch" if wrong == "epochs" else last] = np.array([1, 2] if wrong == "epochs" else "text")
    np.savez(checkpoint.path, **arrays)
    model = gated(seed=2)
    before = model.get_weights()
    with pytest.raises(
        ValueError, match=r"latest\.npz is no checkpoint that a training has written; delete the folder"
    ):
        checkpoint.restore(model)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_note_of_a_damaged_file(tmp_path):
    (tmp_path / "best.keras").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"best\.keras is no whole \.keras file; delete the folder of the run"):
        read_note(tmp_path / "best.keras")


def test_saved_weights_come_back(gated, tmp_path):
    model, other = gated(seed=1), gated(seed=2)
    save(model, tmp_path / "model.keras")
    assert load_weights(other, tmp_path / "model.keras") is other
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_a_model_of_another_size_is_refused(toy_chain, tmp_path):
    wide, slim = (DynamicModel(toy_chain(2, width=width), name=f"w{width}") for width in (6, 4))
    for model in (wide, slim):
        model.build((None, 8, 8, 3))
    save(wide, tmp_path / "wide.keras")
    message = r"wide\.keras holds the weights of another architecture than model 'w4' \('.*kernel' is \(3, 3, 3, 4\) in"
    with pytest.raises(ValueError, match=message):
        load_weights(slim, tmp_path / "wide.keras")


def test_files_that_are_no_models_are_refused(gated, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved model at .*gone\.keras"):
        load_weights(gated(), tmp_path / "gone.keras")
    (tmp_path / "broken.keras").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"broken\.keras is no whole \.keras file; save the model again"):
        load_weights(gated(), tmp_path / "broken.keras")


def test_a_note_is_in_the_models_own_file(gated, tmp_path):
    model = gated()
    save(model, tmp_path / "model.keras", optimizer=False, note={"epoch": 3, "metrics": {"val_accuracy": 0.5}})
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    assert read_note(tmp_path / "model.keras") == {"epoch": 3, "metrics": {"val_accuracy": 0.5}}
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    save(model, tmp_path / "model.keras", optimizer=False)
    with pytest.raises(ValueError, match="was saved without a note; delete the folder of the run"):
        read_note(tmp_path / "model.keras")
