"""REINFORCE for policies over units: reward, log-probability, advantage, loss."""

from keras import ops

from keras_dynamic.ops.labels import mean_over_batch

_TINY = 1e-7  # keeps logarithms of probabilities finite


def usage_reward(decisions, correct, gamma):
    """Returns 1 - (share of units that ran)^2 for a correct prediction and -gamma for a wrong one.

    Args:
        decisions: 0/1 float tensor, [batch, units].
        correct: bool or float tensor, [batch]: whether the prediction under these decisions is correct, or which share
            of it; then the reward is that share of both.
        gamma: penalty of a wrong prediction, a positive number or scalar tensor.

    Returns:
        float32 tensor, [batch].

    Source: BlockDrop, equation 3.
    """
    used = ops.mean(ops.cast(decisions, "float32"), axis=-1)
    correct = ops.cast(correct, "float32")
    return correct * (1.0 - ops.square(used)) - (1.0 - correct) * ops.cast(gamma, "float32")


def penalty_for_usage(gamma, usage, target, gain=15.0):
    """Returns the penalty of a wrong prediction that brings usage near a target: gamma x exp(gain x (target - usage)).

    Where more units run than the target, wrong predictions cost less, else more. BlockDrop has one gamma for each
    operating point, found by trial.

    Args:
        gamma: penalty at the target, positive.
        usage: share of units that ran, mean over the batch.
        target: share wanted.
        gain: logarithm by which the penalty changes per unit of usage, positive.

    Returns:
        float32 scalar tensor.
    """
    return gamma * ops.exp(gain * (target - usage))


def bounded(probabilities, alpha):
    """Returns alpha s + (1 - alpha)(1 - s): probabilities between 1 - alpha and alpha, so that sampling explores.

    Args:
        probabilities: float tensor of any shape, s.
        alpha: in (0.5, 1]; 1 leaves s as it is.

    Returns:
        Tensor of the same shape.

    Source: BlockDrop, section 3.3.
    """
    return alpha * probabilities + (1.0 - alpha) * (1.0 - probabilities)


def bernoulli_log_probability(decisions, probabilities, free=None):
    """Returns the log-probability of decisions under independent Bernoulli distributions, a float32 tensor, [batch].

    Args:
        decisions: 0/1 float tensor, [batch, units].
        probabilities: of 1, float tensor, [batch, units].
        free: 0/1 float tensor, [units]: decisions that were drawn; those held in place do not count. None counts all.

    Source: BlockDrop, equation 1 and the sum in equation 5.
    """
    likelihood = probabilities * decisions + (1.0 - probabilities) * (1.0 - decisions)
    terms = ops.log(ops.clip(likelihood, _TINY, 1.0))
    return ops.sum(terms if free is None else free * terms, axis=-1)


def self_critical_advantage(reward, baseline):
    """Returns reward - baseline, without gradient, a float tensor, [batch].

    Args:
        reward: of the sampled decisions, float tensor, [batch].
        baseline: reward of the most probable decisions, float tensor, [batch].

    Source: BlockDrop, below equation 6; Rennie et al. 2017.
    """
    return ops.stop_gradient(reward - baseline)


def policy_gradient_loss(log_probability, advantage, sample_weight=None):
    """Returns -mean(advantage x log-probability), whose gradient is minus that of the expected reward, a scalar tensor.

    Args:
        log_probability: of the sampled decisions, float tensor, [batch].
        advantage: float tensor, [batch], a constant of the loss.
        sample_weight: float tensor [batch], or None.

    Source: BlockDrop, equation 6, with the mean over the batch for the expectation.
    """
    return -mean_over_batch(ops.stop_gradient(advantage) * log_probability, sample_weight)


def bernoulli_entropy(probabilities, free=None):
    """Returns the entropy of independent Bernoulli distributions, in nats; as a bonus it keeps a policy exploring.

    BlockDrop's code has -s log s alone, which also pulls rarely run units towards s = 1/e; this is the entropy.

    Args:
        probabilities: float tensor, [batch, units].
        free: 0/1 float tensor, [units]; None counts all.

    Returns:
        float32 tensor, [batch]: the sum over units.
    """
    s = ops.clip(probabilities, _TINY, 1.0 - _TINY)
    terms = -s * ops.log(s) - (1.0 - s) * ops.log1p(-s)
    return ops.sum(terms if free is None else free * terms, axis=-1)
