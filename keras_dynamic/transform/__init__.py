"""Functions that return a changed network: exits or channel groups added, units pruned, decisions frozen."""

from keras_dynamic.transform.exits import attach_exits, collaborate, until_exit
from keras_dynamic.transform.freeze_decisions import settle
from keras_dynamic.transform.group_channels import group_channels
from keras_dynamic.transform.prune import prune_dead_units
from keras_dynamic.transform.rank_gates import decision_importance, rank_gates
from keras_dynamic.transform.strip_gates import materialize

__all__ = [
    "attach_exits",
    "collaborate",
    "decision_importance",
    "group_channels",
    "materialize",
    "prune_dead_units",
    "rank_gates",
    "settle",
    "until_exit",
]
