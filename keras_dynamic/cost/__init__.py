"""MACs and parameters: rules per layer, a tree per network, exact and expected cost, and a table."""

from keras_dynamic.cost.energy import HOROWITZ_2014, Energy, energy
from keras_dynamic.cost.nodes import Guard, Node, expected, given, greatest_common_unit, parts
from keras_dynamic.cost.prices import DECIDER, Budget, budget_of, check_table, priced
from keras_dynamic.cost.rules import output_spec, register, tree
from keras_dynamic.cost.stops import Row, costs_of_stops, most, stops_within
from keras_dynamic.cost.summary import summary

__all__ = [
    "DECIDER",
    "HOROWITZ_2014",
    "Budget",
    "Energy",
    "Guard",
    "Node",
    "Row",
    "budget_of",
    "check_table",
    "costs_of_stops",
    "energy",
    "expected",
    "given",
    "greatest_common_unit",
    "most",
    "output_spec",
    "parts",
    "priced",
    "register",
    "stops_within",
    "summary",
    "tree",
]
