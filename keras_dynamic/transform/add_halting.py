"""Gives the units of each stage a halting score."""

from keras_dynamic.deciders import UntilHalted
from keras_dynamic.layers import Always, DynamicModel, FirstHalting, Halting, LeafHead
from keras_dynamic.layers.dynamic_model import as_dynamic, dtype_policy_scope
from keras_dynamic.layers.halting import MEAN
from keras_dynamic.transform.exits import stages_of


def add_halting(network, epsilon=0.01, score_bias=-3.0) -> DynamicModel:
    """Returns the network with a halting score for each unit, for adaptive computation time (methods.ACT).

    A stage, a run of units whose outputs have one shape, gives the mean of its units' outputs, weighted by their
    scores, in place of the last unit's. Its first unit always runs. The layers themselves are used, not copied.

    Args:
        network: built DynamicModel without exits in which everything runs, whose units return one tensor; or a
            functional or sequential Keras model, which is copied, see models.from_functional.
        epsilon: share of the weight that need not be given out, in [0, 1).
        score_bias: of an untrained score: at -3 nearly all units run, and the last one's output counts most.

    Returns:
        DynamicModel, built, decided by deciders.UntilHalted. Its logits differ from the network's: train it.

    Raises:
        ValueError: if the network is not built, has exits or decides something itself, epsilon is out of range, or no
            stage has two units.

    Source: Figurnov et al. 2017 (arXiv 1612.02297), section 3.1.
    """
    network = as_dynamic(network)
    chain = network.chain
    if not chain.built or chain.exits or not isinstance(network.decider, Always):
        raise ValueError(
            f"add_halting takes a built network without exits in which everything runs, got {network.name!r}; give "
            "the plain network."
        )
    plain = {unit.name: unit for unit in chain.units}
    stages = stages_of(chain, channels=True)
    if max(map(len, stages), default=0) < 2:
        raise ValueError(f"{network.name!r} has no stage of two units or more, of which the second could be left out.")
    units = []
    for stage in stages:
        for name in stage:
            kind = FirstHalting if name == stage[0] else Halting
            with dtype_policy_scope(plain[name].dtype_policy):
                units.append(kind(plain[name], name == stage[-1], epsilon, score_bias, name=name))
    made = DynamicModel(
        chain.replace(units=units, head=LeafHead(chain.head, MEAN)),
        UntilHalted(),
        name=network.name,
        dtype=network.dtype_policy,
    )
    made.build(network.image_shape)
    return made
