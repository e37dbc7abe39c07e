"""MACs and parameters: rules per layer, a tree per network, exact and expected cost, and a table."""

from keras_dynamic.cost import rules as _rules  # noqa: F401  registers the rules of Keras' own layers
from keras_dynamic.cost.evaluate import expected, given, greatest_common_unit, parts
from keras_dynamic.cost.node import Guard, Node
from keras_dynamic.cost.registry import output_spec, register, tree
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
