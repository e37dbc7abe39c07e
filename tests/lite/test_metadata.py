import pytest

from keras_dynamic.lite import Interpreter, flatbuffer, read_metadata, write_metadata
from keras_dynamic.lite.metadata import METADATA_NAME


def test_round_trip_replaces_and_keeps_the_rest(example):
    made = example("units", False)
    assert read_metadata(made.outlined)["decisions"] == ["one", "two", "three"]
    changed = write_metadata(made.outlined, {"version": 1, "decisions": ["ä"]})
    assert read_metadata(changed) == {"version": 1, "decisions": ["ä"]}
    kept = [entry.name for entry in flatbuffer.load(made.outlined).metadata]
    assert [entry.name for entry in flatbuffer.load(changed).metadata] == kept
    assert kept.count(METADATA_NAME) == 1
    Interpreter(changed).run(made.images[0])


def test_a_plain_model_has_none(to_tflite, images):
    assert read_metadata(to_tflite(lambda image: {"y": image * 2.0}, images, False)) is None


def test_damaged_note_is_named(example):
    model = flatbuffer.load(example("units", False).outlined)
    (entry,) = [entry for entry in model.metadata if entry.name == METADATA_NAME]
    entry.buffer = flatbuffer.add_buffer(model, b"{not json")
    with pytest.raises(ValueError, match="is no JSON"):
        read_metadata(flatbuffer.pack(model))
