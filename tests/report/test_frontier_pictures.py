"""Points at their places, and labels that keep clear of one another."""

import itertools

import pytest

from keras_dynamic.report import curve_pictures, style


def marks(figure) -> dict[tuple[float, float], str]:
    """{(x, y): face colour} of every single point drawn."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() not in ("None", "", None)]
    return {
        (round(line.get_xdata()[0], 4), round(line.get_ydata()[0], 4)): line.get_markerfacecolor() for line in lines
    }


def label_boxes(figure) -> dict[str, list]:
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in figure.axes[0].texts]


def test_networks_stand_at_their_macs_and_accuracy(report):
    figure = curve_pictures.accuracy_against_macs(report)
    points = marks(figure)
    assert points[34.3, 93.5] == style.look_of(["cascade"])["cascade"][0]
    for expected in [(45.9, 91.1), (12.2, 87.8), (40.6, 92.4), (69.0, 93.5), (23.2, 92.48)]:
        assert expected in points
    # The twins are hollow.
    assert points[34.3, 90.41] == points[45.9, 90.1] == "white"
    texts = [text.get_text() for text in figure.axes[0].texts]
    expected = ["cascade", "cascade frontier", "gated", "resnet20", "resnet32", "resnet8", "static twin", "static twin"]
    assert sorted(texts) == expected
    assert "millions" in figure.axes[0].get_xlabel()


def test_times_are_measured_or_hollow(report):
    points = marks(curve_pictures.accuracy_against_time(report, "float32"))
    assert points[2.9, 93.4] == style.STATIC
    assert points[1.55, 93.5] != "white"
    # ResNet-20 was not timed: 40.6 / 69 of 2.9 ms, at Keras' accuracy.
    assert points[round(2.9 * 40.6 / 69, 4), 92.4] == "white"
    report["static"]["resnet20"]["float32"] = {"latency_ms": 1.8, "accuracy": 0.9239}
    assert marks(curve_pictures.accuracy_against_time(report, "float32"))[1.8, 92.39] == style.STATIC


def crowded(report) -> dict:
    for name, accuracy, macs in (
        ("resnet14", 0.9099, 26.4e6),
        ("resnet38", 0.9379, 83e6),
        ("resnet110", 0.9456, 253e6),
    ):
        report["static"][name] = {"accuracy": accuracy, "macs": macs}
    report["systems"]["third"] = {**report["systems"]["gated"], "accuracy": 0.912, "macs_mean": 46.5e6}
    return report


@pytest.mark.parametrize("prepare", [lambda report: report, crowded], ids=["plain", "crowded"])
@pytest.mark.parametrize("kind", ["macs", "float32", "int8"])
def test_labels_do_not_overlap_and_stay_inside(report, prepare, kind):
    report = prepare(report)
    if kind == "macs":
        figure = curve_pictures.accuracy_against_macs(report)
    else:
        figure = curve_pictures.accuracy_against_time(report, kind)
    boxes = label_boxes(figure)
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    width, height = figure.bbox.size
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)


def test_a_report_of_static_networks_only(report):
    figure = curve_pictures.accuracy_against_macs({"static": report["static"], "systems": {}})
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["resnet20", "resnet32", "resnet8"]
