"""The papers' rows on the results page."""

import pytest

from keras_dynamic.experiments import pages
from keras_dynamic.experiments.pages import PUBLISHED, published


def test_rows_of_a_paper_stand_in_a_table():
    text = published("sgad")
    assert "| ResNet-32, LF (s_max 0.8) | CIFAR-10 | 92.18 % | 47 % |" in text
    assert "Units" not in text
    assert "| ResNet-110, finetuned, gamma 10 | CIFAR-10 | 93.60 % | 36 % | 16.9 of 54 |" in published("blockdrop")
    assert published("static") == ""


@pytest.mark.parametrize("method", PUBLISHED)
def test_rows_are_fractions_of_methods_that_have_records(method):
    assert method in pages.TITLES
    for row in PUBLISHED[method][1]:
        assert 0 < row.accuracy < 1
        assert row.share is None or 0 < row.share <= 1
