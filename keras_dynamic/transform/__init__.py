"""Returns changed networks: exits or groups of channels added, units or filters pruned, decisions frozen."""

from keras_dynamic.transform.add_halting import add_halting
from keras_dynamic.transform.exits import attach_exits, collaborate, exit_places, until_exit
from keras_dynamic.transform.freeze_decisions import freeze_decisions
from keras_dynamic.transform.group_channels import group_channels
from keras_dynamic.transform.init_gates import decision_importance, init_gates_by_importance
from keras_dynamic.transform.prune import prune_dead_units
from keras_dynamic.transform.prune_filters import prune_filters
from keras_dynamic.transform.strip_gates import strip_gates

__all__ = [
    "add_halting",
    "attach_exits",
    "collaborate",
    "decision_importance",
    "exit_places",
    "freeze_decisions",
    "group_channels",
    "init_gates_by_importance",
    "prune_dead_units",
    "prune_filters",
    "strip_gates",
    "until_exit",
]
