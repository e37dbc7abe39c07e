"""How figures are named and printed, everywhere the same."""

from __future__ import annotations

import re
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Writes a table.

    Args:
        header: Titles of the columns.
        rows: A text for each column.

    Returns:
        Markdown. What could end a cell or a row is made harmless.
    """
    lines = [list(header), ["---"] * len(header), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


NOT_MEASURED = "–"

_WORDS = {
    "accuracy": "accuracy",
    "accuracy_top5": "top-5 accuracy",
    "accuracy_static_twin": "accuracy of the static twin",
    "accuracy_shuffled": "accuracy under another image's decisions",
    "accuracy_exits_mean": "accuracy, mean over the exits",
    "budget_error": "largest deviation from a budget",
    "latency_ratio_max": "time to an exit over the exit as a static model, largest",
    "energy_share": "energy, of that of everything on",
    **{f"accuracy_limit{k}": f"accuracy under limit {k}" for k in range(1, 5)},
    "units": "units",
    "units_skippable": "units that can be skipped",
    "skippable_share": "MACs of units that can be skipped",
    "conversion_seconds": "seconds to make the chain",
    "macs_published": "MACs, published",
    "peak_memory_bytes": "memory of the process, largest",
    "images_bytes": "memory of the images",
    "broken_share": "draws in which the promise is broken",
    "excess_mean": "error over the whole network's, mean over draws",
    "macs_least": "MACs of the cheapest thresholds that keep the promise",
    "macs_over_least": "MACs over those of the cheapest such thresholds",
    "seconds_fit": "seconds to fit",
    "arena_bytes": "memory on TensorFlow Lite Micro",
    "arena_static_bytes": "memory on TensorFlow Lite Micro, static",
    "arena_ratio": "memory on TensorFlow Lite Micro over the static model's",
    "arena_unplanned_bytes": "memory on TensorFlow Lite Micro, no plan in the file",
    "arena_unplanned_ratio": "memory on TensorFlow Lite Micro over the static model's, no plan in the file",
    "arena_static_planned_bytes": "memory on TensorFlow Lite Micro, static, with a plan",
    "arena_planned_ratio": "memory on TensorFlow Lite Micro over the static model's, both with a plan",
    "ram_bytes": "RAM for tensors",
    "ram_static_bytes": "RAM for tensors, static",
    "ram_ratio": "RAM over the static model's",
    "constant_bytes": "flash for weights and parameters",
    "instructions": "instructions an image",
    "instructions_static": "instructions of the static network",
    "instructions_share": "instructions over the static network's",
    "instructions_share_least": "instructions over the static network's, easiest image",
    "instructions_share_most": "instructions over the static network's, hardest image",
    "instructions_over_macs": "share of instructions over share of MACs",
    "code_bytes": "program without weights",
    "whole_ms": "time, file with conditions",
    "several_ms": "time, stages, a file each",
    "joined_ms": "time, stages, one file",
    "several_ratio": "stages, a file each, over the file with conditions",
    "joined_ratio": "stages, one file, over the file with conditions",
    "stages_equal": "images with the logits and exits of the file with conditions",
    "browser_ms": "time in the browser (ms)",
    "browser_static_ms": "time in the browser, static (ms)",
    "browser_share": "time in the browser over the static network's",
    "browser_over_macs": "share of the browser's time over share of MACs",
    "tflm_instructions": "instructions on TensorFlow Lite Micro",
    "tflm_instructions_share": "instructions over the static network's on TensorFlow Lite Micro",
    "tflm_equal": "images with the answers of LiteRT's reference kernels on TensorFlow Lite Micro",
    "cmsis_nn_instructions": "instructions with CMSIS-NN",
    "cmsis_nn_instructions_share": "instructions over the static network's with CMSIS-NN",
    "cmsis_nn_equal": "images with the answers of LiteRT's reference kernels with CMSIS-NN",
    "cmsis_nn_over_tflm": "instructions with CMSIS-NN over TensorFlow Lite Micro's",
    "instructions_over_tflm": "instructions over TensorFlow Lite Micro's",
    "code_over_tflm": "program without weights over TensorFlow Lite Micro's",
    "ram_over_tflm": "RAM for tensors over TensorFlow Lite Micro's arena",
    "equal": "images with the answers of LiteRT's reference kernels",
    "gate_recurrent": "an LSTM gate's step over a residual block, pooling counted",
    "gate_recurrent_macs": "an LSTM gate's step over a residual block, MACs",
    "gate_channels": "a CNN gate over a residual block",
    "gate_dense": "the CNN gates over a DenseNet",
    **{
        f"{figure}_{name}": f"{words}, {name}"
        for name in (
            "densenet46",
            "densenet58",
            "densenet64",
            "densenet82",
            "resnet14",
            "resnet20",
            "resnet26",
            "resnet38",
        )
        for figure, words in (("flops", "FLOPs"), ("off", "distance from the published FLOPs"))
    },
    "static_ms": "time, static",
    "accuracy_static": "accuracy of the static network",
    "macs": "MACs",
    "macs_mean": "MACs, mean",
    "macs_static": "MACs, static",
    "macs_std": "MACs, standard deviation",
    "units_mean": "units run, mean",
    "units_std": "units run, standard deviation",
    "expected_units_mean": "units asked for, mean",
    "rank_correlation": "rank correlation of difficulty and units run",
    "distinct_paths": "distinct paths",
    "latency_static_ms": "time, static",
    "latency_dynamic_ms": "time, dynamic",
    "latency_all_on_ms": "time, everything on",
    "latency_p10_ms": "time, dynamic, 10th percentile",
    "latency_p90_ms": "time, dynamic, 90th percentile",
    "latency_max_ms": "time, dynamic, slowest image",
    "overhead": "overhead",
    "overhead_with_decider": "overhead with decider",
    "overhead_exits": "overhead, exits",
    "overhead_units": "overhead, units",
    "throughput_static": "throughput, static",
    "throughput_exits": "throughput, exits",
    "throughput_units": "throughput, units",
    "difference": "largest difference of logits, compact and masked",
    "logits_difference": "largest difference of a logit, over the logits' standard deviation",
    "decider_ms": "time of the deciders",
    "decider_share": "time of the deciders, over everything on",
    "size_bytes": "file size",
    "size_static_bytes": "file size, static",
    "latency_share": "time over the static network's",
    "macs_share": "MACs over the static network's",
    "latency_per_mac": "share of time over share of MACs",
    "accuracy_stripped": "accuracy, stripped",
    "macs_stripped": "MACs, stripped",
    "decisions_frozen": "decisions frozen",
    "decisions_changed": "decisions changed against Keras",
    "margin_static_line": "margin over the static line",
    "margin_static_twin": "margin over the static twin",
    "margin_cascade": "margin over the cascade frontier",
    "accuracy_front": "accuracy of the front network",
    "accuracy_middle": "accuracy of the middle network",
    "accuracy_large": "accuracy of the large network",
    "macs_front": "MACs of the front network",
    "macs_middle": "MACs of the middle network",
    "margin_large": "accuracy less the large network's",
    "estimate_off_largest": "expected less trained, largest",
    "order_right": "order of the expectations is that of the trained ones",
    "margin_greedy": "margin of BlockDrop over the greedy static mask",
}
for _name in ("cascade", "exits", "pruned"):
    _WORDS |= {
        f"accuracy_expected_{_name}": f"accuracy, {_name}, expected by the plan",
        f"accuracy_trained_{_name}": f"accuracy, {_name}, trained",
        f"estimate_off_{_name}": f"expected less trained, {_name}",
    }
_WAYS = {"plain": "plain", "ge": "GE", "ge_isc_ofa": "GE, ISC and OFA"}  # trained ways, of compare_seeds
for _way, _words in _WAYS.items():
    _WORDS |= {
        f"accuracy_{_way}": f"accuracy, {_words}",
        f"accuracy_std_{_way}": f"accuracy, {_words}, standard deviation over seeds",
        f"margin_{_way}": f"margin of {_words} over plain",
        f"margin_std_{_way}": f"margin of {_words} over plain, standard deviation over seeds",
        f"deviations_{_way}": f"margin of {_words} over plain, in standard deviations",
    }
_TITLES = {"blockdrop": "BlockDrop", "ddi": "DDI", "sgad": "SGAD", "imta": "IMTA"}
_SUFFIXES = {
    "float32": "float32",
    "int8": "int8",
    **{machine: f"Cortex-{machine.upper()}" for machine in ("m3", "m4", "m55")},
}
_SUFFIX = re.compile(rf"(.+)_({'|'.join(_SUFFIXES)})")


def name_of(figure: str) -> str:
    """The words for a figure's name.

    Args:
        figure: A name as in report.json or a record, perhaps with the suffix of a precision or of a machine, such as
            _int8 or _m3.

    Returns:
        Words such as 'time, dynamic (int8)'; an unknown name with its underscores as spaces.
    """
    match = None if figure in _WORDS else _SUFFIX.fullmatch(figure)
    if match:
        return f"{name_of(match.group(1))} ({_SUFFIXES[match.group(2)]})"
    return _WORDS.get(figure, figure.replace("_", " "))


def title_of(system: str) -> str:
    """The words for a system's name where a sentence or a heading starts with it.

    Args:
        system: A name as in report.json.

    Returns:
        The method's name as its paper writes it, else the name with its first letter large: 'BlockDrop', 'Gated'.
    """
    return _TITLES.get(system, system[:1].upper() + system[1:])


def show(figure: str, value: float | None) -> str:
    """Prints a figure in the unit that belongs to its name.

    Args:
        figure: A name as in report.json or a record.
        value: The number in its stored unit (fractions, MACs, milliseconds, bytes), or None.

    Returns:
        For example '93.55 %', '+0.12 points', '34.9 M', '1.93 ms', '1.03x', '1.9 MB', '1,630 images/s'; a dash for
        None.
    """
    if value is None:
        return NOT_MEASURED
    base = _SUFFIX.sub(r"\1", figure)
    for pattern, printer in _PRINTERS:
        if re.fullmatch(pattern, base):
            return printer(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def percent(fraction: float, digits: int = 2) -> str:
    """Prints a fraction as per cent.

    Args:
        fraction: For example 0.9355.
        digits: Digits after the point.

    Returns:
        For example '93.55 %'.
    """
    return f"{100 * fraction:.{digits}f} %"


def points(fraction: float) -> str:
    """Prints a difference of two fractions in percentage points, with its sign.

    Args:
        fraction: For example 0.0012.

    Returns:
        For example '+0.12 points'.
    """
    return f"{_signed(100 * fraction)} points"


def millions(macs: float) -> str:
    """Prints a cost.

    Args:
        macs: MACs, for example 34.9e6.

    Returns:
        For example '34.9 M'; thousands under a tenth of a million, for example '9.4 k'.
    """
    return f"{macs / 1e6:.1f} M" if macs >= 1e5 or macs == 0 else f"{macs / 1e3:.1f} k"


def correlation(value: float) -> str:
    """Prints a rank correlation.

    Args:
        value: From -1 to 1.

    Returns:
        For example '+0.42'.
    """
    return _signed(value)


def milliseconds(value: float) -> str:
    """Prints a time.

    Args:
        value: Milliseconds.

    Returns:
        For example '1.93 ms'; three digits, fewer below a tenth.
    """
    if value >= 100:
        return f"{value:.0f} ms"
    if value >= 10:
        return f"{value:.1f} ms"
    return f"{value:.2f} ms" if value >= 0.1 or value == 0 else f"{value:.3f} ms"


def size(number_of_bytes: float) -> str:
    """Prints a file size.

    Args:
        number_of_bytes: Bytes.

    Returns:
        For example '1.90 MB' (10^6) or '385.2 kB' (10^3).
    """
    return f"{number_of_bytes / 1e6:.2f} MB" if number_of_bytes >= 1e6 else f"{number_of_bytes / 1e3:.1f} kB"


def _signed(value: float) -> str:
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "−")


_PRINTERS = (
    (r"accuracy.*|.*_rate|.*_share|decisions_changed|budget_error|excess_mean", percent),
    (r"margin.*|estimate_off.*", points),
    (r"macs(?!_over)(_.*)?|budget", millions),
    (r"kept", lambda value: percent(value, 1)),
    (r"calibration_error", lambda value: f"{value:.3f}"),
    (r".*_ms", milliseconds),
    (r"overhead.*", lambda value: f"{value:.3f}x"),
    (r"throughput.*", lambda value: f"{value:,.0f} images/s"),
    (r".*_bytes", size),
    (r"rank_correlation", correlation),
    (r"(expected_)?units_(mean|std)", lambda value: f"{value:.2f}"),
    (r"distinct_paths|images|seconds.*", lambda value: f"{value:,.0f}"),
)
