"""The masked reading with gradients shared out among the exits."""

import keras

from keras_dynamic.layers.readings import Masked
from keras_dynamic.ops import scale_gradient


class GradientEquilibrium(Masked):
    """Scales gradients where an exit branches off, so that each block gets the mean of the losses behind it.

    At exit i of k, of which the chain's head is the last, the exit's own gradient is scaled by 1 / (k - i + 1) and that
    of what lies behind by (k - i) / (k - i + 1): the gradient of exit j's loss reaches block i <= j as 1 / (k - i + 1)
    of the plain one. Values stay as they are. All leaves of x are scaled, thus every scale of an MSDNet; the authors'
    code scales the coarsest alone.

    Source: IMTA, section 3.1, equations 4 and 5.
    """

    def fork(self, x, behind):
        """Returns (what an exit reads, what goes on), gradients scaled.

        Args:
            x: nest of tensors, [batch, ...].
            behind: how many classifiers stand behind this exit, k - i.
        """

        def scaled(factor):
            return keras.tree.map_structure(lambda leaf: scale_gradient(leaf, factor), x)

        return scaled(1.0 / (behind + 1)), scaled(behind / (behind + 1))


gradient_equilibrium = GradientEquilibrium()
