"""What a dynamic network did with a batch."""

from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """Answers, decisions and cost of one batch.

    Attributes:
        logits: float32 tensor, [batch, classes].
        exits: {exit name: float32 tensor [batch, classes]}.
        decisions: {decision name: float32 tensor of 0/1, [batch]}: 0 where what it is inside of does not run, after the
            exit at which an image stops, or in a unit that is skipped. In training with soft decisions, products.
        probabilities: {decision name: float32 tensor in [0, 1]}, shapes of the decisions.
        cost: float32 tensor, [batch]: MACs over the MACs of everything on, deciders included.
        conditional: {decision name: float32 tensor, [batch]}: each decision given that what it is inside of runs. Cost
            multiplies these.
    """

    logits: Any
    exits: dict[str, Any]
    decisions: dict[str, Any]
    probabilities: dict[str, Any]
    cost: Any
    conditional: dict[str, Any] = {}  # noqa: RUF012  a default that nobody changes
