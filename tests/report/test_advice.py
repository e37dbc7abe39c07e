"""Which file to take: by hand."""

import math

from keras_dynamic.report.advice import advice, files_of


def speed(accuracy, dynamic, static, worst, accuracy_static=0.93):
    return {
        "accuracy": accuracy,
        "accuracy_static": accuracy_static,
        "latency_dynamic_ms": dynamic,
        "latency_static_ms": static,
        "latency_max_ms": worst,
        "size_bytes": 3_000_000,
        "size_static_bytes": 2_000_000,
    }


def report(float32, int8, images=1000):
    system = {"accuracy": 0.94, "macs_static": 100, "float32": float32, "int8": int8}
    static = {"large": {"accuracy": 0.93, "macs": 100}}
    return {"static": static, "systems": {"cascade": system}, "images": images, "held_out": 500}


def test_the_fastest_of_the_accurate_ones():
    found = report(speed(0.94, 0.5, 1.0, 2.0), speed(0.936, 0.2, 0.3, 0.7))
    assert [file.path for file in files_of(found)] == [
        "models/static_float32.tflite",
        "models/static_int8.tflite",
        "models/cascade_float32.tflite",
        "models/cascade_int8.tflite",
    ]
    what, take, against = advice(found)
    assert what.startswith("This page compares cascade with large, a network that does the same work for every input.")
    assert "1,000 test inputs, thresholds and int8 ranges were chosen on 500 others" in what
    assert take.startswith(
        "Take models/cascade_int8.tflite: 93.60 % right, 0.20 ms per input on average, 0.70 ms at most, 3.00 MB."
    )
    error = 100 * math.hypot(math.sqrt(0.936 * 0.064 / 1000), math.sqrt(0.93 * 0.07 / 1000))
    assert "The dynamic one is 0.60 points above it, less than twice the standard error" in against
    assert against.endswith(f"{error:.2f} points, so 1,000 inputs do not settle it.")


def test_an_accurate_one_is_taken_before_a_fast_one_that_is_worse():
    found = report(speed(0.94, 0.5, 1.0, 2.0), speed(0.90, 0.2, 0.3, 0.7, 0.90))
    assert advice(found)[1].startswith("Take models/cascade_float32.tflite")
    many = report(speed(0.94, 0.5, 1.0, 2.0), speed(0.90, 0.2, 0.3, 0.7, 0.90), images=100_000)
    assert "1.00 points above it, more than twice the standard error of such a difference" in advice(many)[2]


def test_equal_ones_are_level():
    found = report(speed(0.93, 0.5, 1.0, 2.0), speed(0.93, 0.2, 0.3, 0.7))
    assert "The dynamic one is level, less than twice" in advice(found)[2]


def test_a_static_network_that_is_faster():
    found = report(speed(0.93, 1.5, 1.0, 2.0), speed(0.93, 0.5, 0.3, 0.7))
    _, take, but = advice(found)
    assert take.startswith("Take models/static_int8.tflite: 93.00 % right, 0.30 ms per input on average, 2.00 MB.")
    assert but == "That is the static network: being dynamic does not pay here."


def test_nothing_is_said_where_nothing_was_timed():
    assert advice({"static": {}, "systems": {"a": {"accuracy": 0.9}}, "images": 10}) == []
