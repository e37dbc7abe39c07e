"""What a dynamic network did with a batch."""

from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """Answers, decisions and cost of one batch.

    Attributes:
        logits: float32 tensor, [batch, classes].
        exits: {exit name: float32 tensor [batch, classes]}.
        decisions: {decision name: float32 tensor of 0/1, [batch]}.
        probabilities: {decision name: float32 tensor in [0, 1]}, shapes of the decisions.
        cost: float32 tensor, [batch]: MACs over the MACs of everything on, deciders included.
    """

    logits: Any
    exits: dict[str, Any]
    decisions: dict[str, Any]
    probabilities: dict[str, Any]
    cost: Any
