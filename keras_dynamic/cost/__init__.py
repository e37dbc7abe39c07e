"""MACs and parameters: rules per layer, a tree per network, exact and expected cost, and a table."""

from keras_dynamic.cost.nodes import Guard, Node, expected, given, greatest_common_unit, parts
from keras_dynamic.cost.rules import output_spec, register, tree
from keras_dynamic.cost.summary import summary

__all__ = [
    "Guard",
    "Node",
    "expected",
    "given",
    "greatest_common_unit",
    "output_spec",
    "parts",
    "register",
    "summary",
    "tree",
]
