"""A table of what each unit costs."""

from keras_dynamic.cost.nodes import Node
from keras_dynamic.cost.prices import priced
from keras_dynamic.cost.rules import tree

_HEADINGS = ("part", "when", "MACs", "parameters", "activation rate", "expected MACs")


def summary(model, rates=None, table=None, unit="cost") -> str:
    """Returns a table with one row per part of a dynamic model, and totals.

    Args:
        model: a built DynamicModel (or any model that cost can walk), or a Node.
        rates: {decision name: share in [0, 1] of all images}, e.g. measured by evaluation.evaluate. A decision that is
            not named is on wherever it is reached. One inside another, or after an exit, is on only where that is;
            of two independent ones, such as groups of input and of inner channels, the rarer counts,
            which is the most that they can cost.
        table: {part: cost} in another unit, see priced, for a column of it: lite.part_times, lite.part_energy.
        unit: of the table, such as 'ms' or 'mJ'.

    Returns:
        Text: part, the decision it depends on, MACs and parameters with everything on, activation rate, expected MACs,
        and the expected cost by the table.

    Raises:
        ValueError: if rates names a decision that the model does not have, the table does not fit, or cost cannot count
            a layer.
    """
    node = model if isinstance(model, Node) else tree(model)
    rates = dict(rates or {})
    unknown = sorted(set(rates) - {guard.decision for guard in node.guards()})
    if unknown:
        known = sorted({guard.decision for guard in node.guards()})
        raise ValueError(f"rates names {unknown}, which are no decisions of {node.name!r}; its decisions are {known}.")
    rows = [_row(child, rates) for child in node.children]
    expected = _expected(node, rates)
    total = ("total", "", f"{node.total_macs:,}", f"{node.total_parameters:,}", "", f"{expected:,.0f}")
    lines_of = [_HEADINGS, *rows, total]
    if table is not None:
        costs = priced(node, table)
        column = [f"expected {unit}", *(f"{_expected(part, rates):.4g}" for part in (*costs.children, costs))]
        lines_of = [(*row, cell) for row, cell in zip(lines_of, column, strict=True)]
    widths = [max(len(row[column]) for row in lines_of) for column in range(len(lines_of[0]))]
    lines = [_line(row, widths) for row in lines_of]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _row(node, rates):
    guards = list(dict.fromkeys(node.guards()))
    rate = ", ".join(f"{guard.runs({guard.decision: rates.get(guard.decision, 1.0)}):.3f}" for guard in guards)
    return (
        node.name,
        ", ".join(guard.decision if guard.on else f"not {guard.decision}" for guard in guards) or "always",
        f"{node.total_macs:,}",
        f"{node.total_parameters:,}",
        rate,
        f"{_expected(node, rates):,.0f}",
    )


def _expected(node, rates, reached=1.0):
    """Returns the expected MACs of a node that a share of the images reaches."""
    runs = reached
    if node.when is not None:
        ones = min(reached, rates.get(node.when.decision, reached))
        runs = ones if node.when.on else reached - ones
    return runs * node.macs + sum(_expected(child, rates, runs) for child in node.children)


def _line(row, widths):
    text = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
    return "  ".join(text + [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)])
