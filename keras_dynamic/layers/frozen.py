"""Variables that are constants while a model is traced for export, so that decisions which follow from them are too."""

import contextlib
import contextvars
from typing import Any


class _Frozen:
    """Values of the frozen variables by id, and the cost trees of deciders under these values."""

    def __init__(self, variables):
        self.values = {id(variable): variable.numpy() for variable in variables}
        self.trees: dict[int, Any] = {}


_frozen: contextvars.ContextVar[_Frozen | None] = contextvars.ContextVar("frozen", default=None)


@contextlib.contextmanager
def frozen(variables):
    """Makes variables constants, which deciders may look at before they decide: export traces a model under this.

    Args:
        variables: Keras variables, those of deciders; others stay as they are.
    """
    token = _frozen.set(_Frozen(variables))
    try:
        yield
    finally:
        _frozen.reset(token)


def frozen_value(variable):
    """Returns the value of a frozen variable as a NumPy array, None of one that is not frozen."""
    now = _frozen.get()
    return None if now is None else now.values.get(id(variable))


def frozen_trees() -> dict[int, Any] | None:
    """Returns the cost trees that were made under the frozen values, by the decider's id; None if nothing is frozen."""
    now = _frozen.get()
    return None if now is None else now.trees
