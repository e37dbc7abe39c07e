"""Records: what is written is read back, and what is wrong is named."""

import dataclasses
import json

import pytest

from keras_dynamic.experiments import records

VALID = {
    "id": "cascade_8_20_32",
    "method": "cascade",
    "network": "ResNet-8, -20, -32",
    "data": "CIFAR-10 test, 10,000 images",
    "command": "python benchmark.py --data_dir=$DATA_DIR --record",
    "config": "configs/cascade.py",
    "commit": "0123456789abcdef",
    "seed": 0,
    "date": "2025-01-31",
    "machine": "2 cores",
    "figures": {"accuracy": 0.9355, "macs_mean": 34_900_000, "overhead_int8": 1.13},
    "targets": {"accuracy": ">= 0.934", "macs_mean": "<= 36e6", "overhead_int8": "<= 1.12"},
    "seconds": 12.5,
}


def changed(**changes):
    return {**VALID, **changes}


def put(directory, content, name="cascade_8_20_32.json"):
    path = directory / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_round_trip(tmp_path):
    record = records.Record(**VALID)
    path = records.write(record, tmp_path / "results")
    assert path == tmp_path / "results" / "cascade_8_20_32.json"
    assert json.loads(path.read_text()) == VALID
    assert records.load_all(tmp_path / "results") == [record]


def test_met_compares_figures_with_targets():
    assert records.met(records.Record(**VALID)) == {"accuracy": True, "macs_mean": True, "overhead_int8": False}
    assert records.met(records.Record(**changed(targets={}))) == {}


def test_a_bound_itself_meets_the_target():
    figures, targets = {"accuracy": 0.934, "overhead": 1.05}, {"accuracy": ">= 0.934", "overhead": "<= 1.05"}
    record = records.Record(**changed(figures=figures, targets=targets))
    assert records.met(record) == {"accuracy": True, "overhead": True}


def test_config_may_be_the_settings_themselves():
    assert records.Record(**changed(config={"depth": 32})).config == {"depth": 32}


def test_load_all_orders_by_method_then_id(tmp_path):
    for method, name in (("static", "a"), ("gating", "c"), ("gating", "b"), ("cascade", "z")):
        records.write(records.Record(**changed(method=method, id=name)), tmp_path)
    assert [record.id for record in records.load_all(tmp_path)] == ["z", "b", "c", "a"]


def test_a_missing_folder_holds_no_records(tmp_path):
    assert records.load_all(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("changes", "key", "part"),
    [
        ({"id": "a b"}, "id", "letters"),
        ({"id": ""}, "id", "not empty"),
        ({"method": "gatting"}, "method", "did you mean 'gating'"),
        ({"network": 32}, "network", "text"),
        ({"command": "run --data_dir=/home/me/data"}, "command", "/home/me/data"),
        ({"config": 3}, "config", "settings"),
        ({"seed": -1}, "seed", ">= 0"),
        ({"seed": True}, "seed", "integer"),
        ({"date": "yesterday"}, "date", "ISO 8601"),
        ({"seconds": float("nan")}, "seconds", "finite"),
        ({"figures": {}, "targets": {}}, "figures", "at least one"),
        ({"figures": {"accuracy": 93.55}, "targets": {}}, "figures.accuracy", "fraction"),
        ({"figures": {"macs_mean": "34.9 M"}, "targets": {}}, "figures.macs_mean", "finite number"),
        ({"figures": {"Macs": 3}, "targets": {}}, "figures.Macs", "small letters"),
        ({"targets": {"acuracy": ">= 0.9"}}, "targets.acuracy", "did you mean 'accuracy'"),
        ({"targets": {"accuracy": ">=0.9"}}, "targets.accuracy", "one space"),
        ({"targets": {"accuracy": "> 0.9"}}, "targets.accuracy", "OP NUMBER"),
        ({"targets": {"accuracy": 0.9}}, "targets.accuracy", "OP NUMBER"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(tmp_path, changes, key, part):
    with pytest.raises(ValueError, match="expected") as made:
        records.Record(**changed(**changes))
    assert key in str(made.value)
    assert part in str(made.value)
    path = put(tmp_path, changed(**changes))
    with pytest.raises(ValueError, match="expected") as read:
        records.load(path)
    assert str(path) in str(read.value)
    assert key in str(read.value)


def test_missing_unknown_and_foreign_files_are_named(tmp_path):
    missing = {key: value for key, value in VALID.items() if key != "seed"}
    with pytest.raises(ValueError, match=r"cascade_8_20_32\.json: expected the key 'seed'"):
        records.load(put(tmp_path, missing))
    with pytest.raises(ValueError, match=r"'figurs' \(did you mean 'figures'\?\)"):
        records.load(put(tmp_path, {**VALID, "figurs": {}}))
    with pytest.raises(ValueError, match=r"cascade_8_20_32\.json: expected a JSON object, got list"):
        records.load(put(tmp_path, []))
    with pytest.raises(ValueError, match=r"cascade_8_20_32\.json: expected a JSON object, got no JSON"):
        records.load(put(tmp_path, '{"id": '))
    with pytest.raises(
        ValueError, match=r"cascade_8_20_32\.json: expected a JSON object, got no JSON \(maximum recursion"
    ):
        records.load(put(tmp_path, "[" * 100_000))
    with pytest.raises(ValueError, match=r"key 'figures.accuracy': expected a finite number"):
        records.load(put(tmp_path, {**VALID, "figures": {"accuracy": 10**400}, "targets": {}}))
    with pytest.raises(ValueError, match=r"other\.json: key 'id': expected the file's name 'other'"):
        records.load(put(tmp_path, VALID, "other.json"))


def test_load_all_fails_on_one_bad_file(tmp_path):
    records.write(records.Record(**VALID), tmp_path)
    put(tmp_path, "no", "bad.json")
    with pytest.raises(ValueError, match=r"bad\.json"):
        records.load_all(tmp_path)


def test_a_record_cannot_be_changed_after_its_check():
    with pytest.raises(dataclasses.FrozenInstanceError):
        records.Record(**VALID).seed = 3
