"""One trained network with exits, any budget: the thresholds at which a given mean of MACs is spent."""

from keras_dynamic.deciders import Confidence
from keras_dynamic.ops import budget_thresholds
from keras_dynamic.training.exit_answers import exit_answers, exit_macs


def fit_budget(model, x, macs, outcome=None):
    """Sets a Confidence decider's thresholds so that on these images the mean MACs come up to a budget.

    Args:
        model: built DynamicModel whose exits a Confidence decides.
        x: held-out images, [n, height, width, channels]; no labels are needed.
        macs: budget, mean MACs per image.
        outcome: compiled_outcome(model), to compile only once for several calls.

    Returns:
        The thresholds, float32 array [exits - 1].

    Raises:
        ValueError: if confidence does not decide the exits, or the budget lies under the first exit's MACs.

    Source: MSDNet, section 4.2; the quotas are those of the authors' code, see ops.quotas.
    """
    if not isinstance(model.decider, Confidence):
        raise ValueError(
            f"a budget is kept by the thresholds of a Confidence decider, which {type(model.decider).__name__} is "
            "not; give DynamicModel(model.chain, Confidence())."
        )
    answers = exit_answers(model, x, model.decider.measure, outcome=outcome)
    thresholds = budget_thresholds(answers.confidences, exit_macs(model), macs)
    model.decider.set_thresholds(thresholds)
    return thresholds
