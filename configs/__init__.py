"""Experiments: one file each, whose docstring gives command, cost and expected result."""
