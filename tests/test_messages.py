"""The wording that errors share."""

import pytest

from keras_dynamic.messages import check_fraction, did_you_mean, is_count


def test_the_nearest_known_name_is_suggested():
    assert did_you_mean("confidense", ["confidence", "gates"]) == " (did you mean 'confidence'?)"
    assert did_you_mean("xyz", ["confidence", "gates"]) == ""
    assert did_you_mean(None, ["confidence"]) == ""


@pytest.mark.parametrize("value", [0, 1, 0.6, "0.5"])
def test_fractions_pass_as_floats(value):
    assert check_fraction("tau", value) == float(value)
    assert isinstance(check_fraction("tau", value), float)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan"), float("inf"), None, "half", [0.5, 0.5]])
def test_everything_else_is_an_error_that_names_the_value(value):
    with pytest.raises(ValueError, match="tau must be a number between 0 and 1, got") as error:
        check_fraction("tau", value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(("value", "least"), [(1, 1), (7, 1), (0, 0), (2, 2)])
def test_a_count_is_an_int_of_at_least_so_many(value, least):
    assert is_count(value, least)


@pytest.mark.parametrize(("value", "least"), [(0, 1), (-1, 0), (1, 2), (True, 1), (2.0, 1), ("3", 1), (None, 0)])
def test_no_bool_no_float_and_no_text_is_a_count(value, least):
    assert not is_count(value, least)
