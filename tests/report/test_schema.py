"""A report that lacks something is refused with the name of it."""

import json

import numpy as np
import pytest

from keras_dynamic.report import schema


def test_a_whole_report_passes(report, evaluations):
    schema.check_report(report)
    schema.check_evaluations(report, evaluations)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("static",), "'static' in report"),
        (("systems",), "'systems' in report"),
        (("static", "resnet8", "macs"), "'macs' in report['static']['resnet8']"),
        (("systems", "gated", "accuracy_shuffled"), "'accuracy_shuffled' in report['systems']['gated']"),
        (("systems", "gated", "int8"), "'int8' in report['systems']['gated']"),
        (("systems", "cascade", "float32", "size_bytes"), "'size_bytes' in report['systems']['cascade']['float32']"),
    ],
)
def test_a_missing_key_is_named(report, path, words):
    parent = report
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    with pytest.raises(ValueError, match="Expected the key") as error:
        schema.check_report(report)
    assert words in str(error.value)


def test_all_systems_are_exported_or_none(report):
    for system in report["systems"].values():
        del system["int8"]
    assert schema.precisions(report) == ("float32",)
    schema.check_report(report)
    for system in report["systems"].values():
        del system["float32"]
    assert schema.precisions(report) == ()
    schema.check_report(report)


def test_something_else_than_a_mapping_is_named(report):
    report["systems"]["gated"]["int8"] = None
    with pytest.raises(ValueError, match="as a mapping, got NoneType"):
        schema.check_report(report)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("static",), [], "Expected report['static'] as a mapping, got list"),
        (("systems",), 3, "Expected report['systems'] as a mapping, got int"),
        (("systems", "gated"), 3, "Expected report['systems']['gated'] as a mapping, got int"),
        (("static", "resnet8", "macs"), "many", "a number as report['static']['resnet8']['macs'], got 'many'"),
        (("systems", "gated", "accuracy"), None, "a number as report['systems']['gated']['accuracy'], got None"),
        (("systems", "gated", "int8", "overhead"), [1], "['int8']['overhead'], got [1]"),
        (("systems", "gated", "budgets"), 5, "Expected report['systems']['gated']['budgets'] as a list, got int"),
    ],
)
def test_another_type_is_named(report, path, value, words):
    parent = report
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    with pytest.raises(ValueError, match="Expected") as error:
        schema.check_report(report)
    assert words in str(error.value)


def test_evaluations_must_fit(report, evaluations):
    with pytest.raises(ValueError, match="did you mean 'gated'"):
        schema.check_evaluations(report, {"gatd": evaluations["gated"]})
    short = evaluations["gated"]._replace(macs=np.zeros(3))
    with pytest.raises(ValueError, match="macs of 'gated' for 40 images, got 3"):
        schema.check_evaluations(report, {"gated": short})
    floats = evaluations["gated"]._replace(images=np.zeros((40, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match=r"uint8 \[n, height, width, 3\], got float32 \[40, 32, 32, 3\]"):
        schema.check_evaluations(report, {"gated": floats})


@pytest.mark.parametrize("name", ["../gated", "a b", ""])
def test_systems_are_named_so_that_files_can_be(report, name):
    report["systems"][name] = report["systems"]["gated"]
    with pytest.raises(ValueError, match="letters, digits"):
        schema.check_report(report)


def test_plain_makes_numpy_json():
    nest = {"a": np.float32(0.5), "b": [np.int64(3), (np.bool_(True), None)], "c": np.arange(2), 4: "text"}
    expected = {"a": 0.5, "b": [3, [True, None]], "c": [0, 1], "4": "text"}
    assert schema.plain(nest) == expected
    assert json.loads(json.dumps(schema.plain(nest))) == expected


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("tau_sweep", [{"accuracy": 0.9, "macs_mean": 1.0}], "Expected the key 'tau' in report['systems']['gated']"),
        ("inference", [{"mode": "always_on", "macs_mean": 1.0}], "Expected the key 'accuracy' in report"),
        (
            "exits",
            [{"exit": "exit1", "macs": 1}],
            "Expected the key 'accuracy' in report",
        ),
        ("exit_ranks", [{"exits": ["a", "b"]}], "Expected the key 'rank_correlation' in report"),
        ("budgeted", [{"p": 1.0, "accuracy": 0.9, "macs_mean": 1.0}], "Expected the key 'stops' in report"),
        ("budgets", [{"budget": 1.0, "accuracy": 0.9, "macs_mean": 1.0, "stops": []}], "Expected the key 'kept' in"),
        ("exit_history", {"epochs": [1]}, "Expected the key 'accuracies' in report['systems']['gated']"),
        (
            "exit_history",
            {"epochs": [1, 2], "accuracies": {"exit1": [0.5]}},
            "['exit_history']['accuracies']['exit1'] for 2 epochs, got 1; give one number per epoch.",
        ),
        ("gradient_variances", {"plain": []}, "Expected the key 'equilibrium' in report"),
        ("activation_history", {"epochs": [1]}, "Expected the key 'rates' in report"),
        (
            "activation_history",
            {"epochs": [1, 2], "rates": {"unit1": [0.5]}},
            "['activation_history']['rates']['unit1'] for 2 epochs, got 1; give one number per epoch.",
        ),
    ],
)
def test_what_was_measured_besides_is_whole(report, part, value, words):
    report["systems"]["gated"][part] = value
    with pytest.raises(ValueError, match="Expected") as error:
        schema.check_report(report)
    assert words in str(error.value)
