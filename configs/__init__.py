"""Experiments: one file per paper or kind, whose docstring gives each setting's command, cost and expected result."""
