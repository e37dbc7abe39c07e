"""ACT: adaptive computation time, trained by what an image's units cost (Graves 2016; Figurnov et al. 2017)."""

import keras
from keras import ops

from keras_dynamic.deciders.halting import UntilHalted
from keras_dynamic.layers.halting import FirstHalting, Halting
from keras_dynamic.messages import check_number
from keras_dynamic.methods.method import Method


@keras.saving.register_keras_serializable("keras_dynamic")
class ACT(Method):
    """A chain of stages whose units run until their halting scores add up to one.

        network = kd.transform.add_halting(kd.zoo.load("resnet32_cifar10_45k"))
        model = kd.methods.ACT(network.chain, ponder_weight=0.01)
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, metrics=["accuracy"])
        model.fit(x, y, epochs=20)

    The loss is the compiled one, plus ponder_weight times the ponder cost: over stages, the number of units that run
    and the weight that the last of them gets, mean over images.

    Args:
        chain: Chain of transform.add_halting.
        ponder_weight: of the ponder cost.
        **kwargs: of Method (weight_decay, teacher, distillation_weight, ...) and keras.Model.

    Raises:
        ValueError: if ponder_weight is no number of at least 0; or, when it is built, if no unit of the chain halts.

    Source: Figurnov et al. 2017, Spatially Adaptive Computation Time (arXiv 1612.02297), section 3.1, equations 9 and
    10, which apply Graves 2016 (arXiv 1603.08983) to the stages of a residual network. The paper's spatial form, SACT,
    halts at each position of a feature map; it is not here, as no .tflite skips positions.
    """

    def __init__(self, chain, ponder_weight=0.01, **kwargs):
        super().__init__(chain, kwargs.pop("decider", None) or UntilHalted(), **kwargs)
        self.ponder_weight = check_number("ponder_weight", ponder_weight)

    def check_chain(self):
        """Raises a ValueError if no unit halts, or one has no first unit of its stage before it."""
        super().check_chain()
        first = next(unit for unit in self.chain.units if isinstance(unit, (FirstHalting, Halting)))
        if isinstance(first, Halting):
            raise ValueError(
                f"a stage begins with a layers.FirstHalting, got {first.name!r}; take transform.add_halting."
            )

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        """Returns the ponder cost, and the losses of Method."""
        ponder = self.ponder_weight * ops.mean(self.ponder(outcome))
        return super().outcome_losses(x, y, outcome, sample_weight) | {"ponder": ponder}

    def ponder(self, outcome):
        """Returns the ponder cost of each image, float32 [batch]: units that run and the last one's weight, by stage.

        Args:
            outcome: Outcome of a forward pass.
        """
        total = ops.zeros_like(outcome.cost)
        for names in self._stages():
            runs = [ops.stop_gradient(outcome.decisions[name]) for name in names]
            lefts = [outcome.probabilities[name] for name in names]
            after = [*runs[1:], ops.zeros_like(total)] if runs else []
            last = 1.0 - runs[0] if runs else 1.0  # all of the weight, where the first unit is the only one
            for run, later, left in zip(runs, after, lefts, strict=True):
                last = last + (run - later) * left
            total = total + 1.0 + sum(runs) + last
        return total

    def _stages(self):
        """Returns the names of the decided units of each stage."""
        found: list[list[str]] = []
        for unit in self.chain.units:
            if isinstance(unit, FirstHalting):
                found.append([])
            elif isinstance(unit, Halting):
                found[-1].append(unit.name)
        return found
