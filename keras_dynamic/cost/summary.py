"""A table of what each unit costs."""

from keras_dynamic.cost.node import Node
from keras_dynamic.cost.registry import tree

_HEADINGS = ("part", "when", "MACs", "parameters", "activation rate", "expected MACs")


def summary(model, rates=None) -> str:
    """Returns a table with one row per part of a dynamic model, and totals.

    Args:
        model: a built DynamicModel (or any model that cost can walk), or a Node.
        rates: {decision name: activation rate in [0, 1]}, e.g. measured by training.evaluate; a decision that is not
            named counts as always on. Rates of nested decisions multiply, as if they were independent.

    Returns:
        Text: part, the decision it depends on, MACs and parameters with everything on, activation rate, expected MACs.

    Raises:
        ValueError: if rates names a decision that the model does not have, or cost cannot count a layer.
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
    table = [_HEADINGS, *rows, total]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADINGS))]
    lines = [_line(row, widths) for row in table]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _row(node, rates):
    names = list(dict.fromkeys(guard.decision for guard in node.guards()))
    rate = ", ".join(f"{rates.get(name, 1.0):.3f}" for name in names)
    return (
        node.name,
        ", ".join(names) or "always",
        f"{node.total_macs:,}",
        f"{node.total_parameters:,}",
        rate,
        f"{_expected(node, rates):,.0f}",
    )


def _expected(node, rates):
    macs = node.macs + sum(_expected(child, rates) for child in node.children)
    return macs if node.when is None else macs * rates.get(node.when.decision, 1.0)


def _line(row, widths):
    text = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
    return "  ".join(text + [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)])
