"""The flags of a budget, which export_model and run_model share: MACs, milliseconds or millijoules, and a deadline."""

from absl import flags

_MACS = flags.DEFINE_float("macs", None, "budget: mean MACs per image at most", lower_bound=0)
_MS = flags.DEFINE_float("ms", None, "budget: mean milliseconds per image at most, with --costs", lower_bound=0)
_MJ = flags.DEFINE_float("mj", None, "budget: mean millijoules per image at most, with --costs", lower_bound=0)
_DEADLINE = flags.DEFINE_float(
    "deadline", None, "what no image may cost, in the unit of --costs, or in MACs without it", lower_bound=0
)
_COSTS = flags.DEFINE_string(
    "costs",
    None,
    "what each part of the model costs: the JSON of tflite/benchmark.py --json, a JSON {part: cost}, or the output of "
    "LiteRT's benchmark_model on files of lite.write_parts",
)


def given() -> bool:
    """Returns whether a flag of a budget is given."""
    return any(flag.value is not None for flag in (_MACS, _MS, _MJ, _DEADLINE))


def budget(precision) -> dict:
    """Returns the budget that the flags ask for, as arguments of fit_budget and thresholds_for.

    Args:
        precision: of the .tflite: 'float32', 'float16', 'dynamic' or 'int8'.

    Raises:
        ValueError: if the file of --costs is not what it should be, or no budget needs it.
        OSError: if it cannot be read.
    """
    found = {"macs": _MACS.value, "ms": _MS.value, "mj": _MJ.value, "deadline": _DEADLINE.value, "table": None}
    if _COSTS.value is None:
        return found
    if not given():
        raise ValueError("--costs is for a budget, got none; give --ms, --mj or --deadline too.")
    from keras_dynamic import lite

    arithmetic = "int8" if precision == "int8" else "float32"  # of weights in float16 or int8 alone too
    return found | {"table": lite.read_part_times(_COSTS.value, arithmetic)}
