"""The masked reading of a unit; lite/ has the branching one. Both serve the one loop in Chain."""

from keras import ops


def masked(unit, x, decision, training=None, **nested):
    """Runs a unit for all images and multiplies the decision in.

    Args:
        unit: a Unit.
        x: nest of tensors, [batch, ...].
        decision: True, False, or a bool or float tensor [batch]. True and False compute one side alone.
        training: whether layers inside run in training mode.
        **nested: handed to a unit with a dynamic network inside.

    Returns:
        What unit.call returns.
    """
    if decision is True:
        return unit(x, training=training, **nested)
    if decision is False:
        return unit.skip(x, training=training, **nested)
    return unit(x, decision=ops.cast(decision, "float32"), training=training, **nested)
