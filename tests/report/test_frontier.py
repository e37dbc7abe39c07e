"""Hull and lines against figures worked by hand."""

import pytest

from keras_dynamic.report import frontier

RESNET20, RESNET32 = (40.6e6, 0.9240, "ResNet-20"), (69e6, 0.9349, "ResNet-32")


def test_line_between_resnet20_and_resnet32():
    # 92.40 + (93.49 - 92.40) * (41.6 - 40.6) / (69 - 40.6) = 92.40 + 1.09 / 28.4 = 92.4384
    assert frontier.line_at([RESNET32, RESNET20], 41.6e6) == pytest.approx(0.924384, abs=1e-6)


def test_line_meets_its_corners():
    for macs, accuracy, _ in (RESNET20, RESNET32):
        assert frontier.line_at([RESNET20, RESNET32], macs) == accuracy


def test_line_is_level_outside_the_points():
    assert frontier.line_at([RESNET20, RESNET32], 1e6) == 0.9240
    assert frontier.line_at([RESNET20, RESNET32], 500e6) == 0.9349


def test_hull_leaves_out_points_under_it():
    # From (1, 0) to (3, 2) the line passes (2, 1): 0.9 lies under it, 1.1 above.
    assert [p.macs for p in frontier.upper_hull([(1, 0.0), (2, 0.9), (3, 2.0)])] == [1, 3]
    assert [p.macs for p in frontier.upper_hull([(1, 0.0), (2, 1.1), (3, 2.0)])] == [1, 2, 3]


def test_a_late_point_removes_several_corners():
    # Slopes 1.0, 0.5 and 0.4 so far; the last point rises by 3.1 in 0.5, so only the first corner remains before it.
    points = [(1, 0.0), (2, 1.0), (3, 1.5), (4, 1.9), (4.5, 5.0)]
    assert [p.macs for p in frontier.upper_hull(points)] == [1, 4.5]
    assert frontier.line_at(points, 2.75) == pytest.approx(2.5)


def test_dearer_and_worse_points_are_no_part_of_the_line():
    hull = frontier.upper_hull([(3, 0.7, "late"), (1, 0.6, "first"), (2, 0.8, "best"), (1, 0.5, "twin")])
    assert [p.label for p in hull] == ["first", "best"]
    assert frontier.line_at(hull, 3) == 0.8


def test_between_two_patterns():
    # Half way from 30 to 50 M; a falling pair is allowed, unlike on a hull.
    assert frontier.between((50, 0.90), (30, 0.80), 40) == pytest.approx(0.85)
    assert frontier.between((30, 0.90), (50, 0.80), 35) == pytest.approx(0.875)
    assert frontier.between((30, 0.90), (50, 0.80), 60) == pytest.approx(0.80)
    assert frontier.between((30, 0.90), (30, 0.80), 30) == 0.90


def test_margins_of_a_gated_network():
    # facts: 92.19 at 41.6 M is 0.25 under the static line, 1.02 above its twin at 91.17.
    static = {"32": {"accuracy": 0.9349, "macs": 69_000_000}, "20": {"accuracy": 0.9240, "macs": 40_600_000}}
    cascades = [[40.0e6, 0.9400, "8, 20, 32, 74"], [51.6e6, 0.9447, "20, 32, 74"]]
    system = {"accuracy": 0.9219, "macs_mean": 41.6e6, "accuracy_static_twin": 0.9117}
    result = frontier.margins(system, static, cascades)
    assert result["margin_static_line"] == pytest.approx(-0.002484, abs=1e-6)
    assert result["margin_static_twin"] == pytest.approx(0.0102)
    # 94.00 + 0.47 * 1.6 / 11.6 = 94.0648
    assert result["margin_cascade"] == pytest.approx(0.9219 - 0.940648, abs=1e-6)


def test_margins_leave_out_what_was_not_measured():
    assert frontier.margins({"accuracy": 0.9, "macs_mean": 1.0}, {}, []) == {}


@pytest.mark.parametrize("bad", [(1,), (1, 2, "a", 4), (float("nan"), 1), (1, float("inf")), (-1, 0.5)])
def test_malformed_points_are_named(bad):
    with pytest.raises(ValueError, match="Expected"):
        frontier.upper_hull([bad])


def test_no_points_is_an_error():
    with pytest.raises(ValueError, match="at least one point"):
        frontier.line_at([], 1.0)
