"""Variables whose values are constants while a model is traced for export, so that decisions can be constants too."""

import contextlib
import contextvars
from typing import Any


class _Constants:
    """Values of the constant variables by id, and the cost trees of deciders under these values."""

    def __init__(self, variables, limited):
        self.values = {id(variable): variable.numpy() for variable in variables}
        self.limited = limited
        self.trees: dict[int, Any] = {}


_constants: contextvars.ContextVar[_Constants | None] = contextvars.ContextVar("constants", default=None)


@contextlib.contextmanager
def constant_variables(variables, limited=False):
    """Treats variables as constants in this context, so that deciders can use their values while tracing.

    Args:
        variables: Keras variables of deciders; all others stay variables.
        limited: whether images have a budget, at whose end they stop at exits whatever the decider says.
    """
    token = _constants.set(_Constants(variables, limited))
    try:
        yield
    finally:
        _constants.reset(token)


def constant_value(variable):
    """Returns the value of a constant variable as a NumPy array, None for any other variable."""
    now = _constants.get()
    return None if now is None else now.values.get(id(variable))


def constant_trees() -> dict[int, Any] | None:
    """Returns the cost trees made under the constant values, by the decider's id; None outside of the context."""
    now = _constants.get()
    return None if now is None else now.trees


def images_have_budgets() -> bool:
    """Returns whether images may stop at exits where the decider lets all go on; False outside of the context."""
    now = _constants.get()
    return now is not None and now.limited
