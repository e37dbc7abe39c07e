"""One gate per exit."""

import math

import keras
from keras import layers, ops

from keras_dynamic.cost import tree
from keras_dynamic.deciders.gumbel_gates import GumbelGates
from keras_dynamic.messages import near


@keras.saving.register_keras_serializable("keras_dynamic")
class ExitGates(GumbelGates):
    """A gate at each exit that looks at what the exit reads: does the image go on, or stop there?

    A gate is a 3x3 convolution, batch norm and ReLU for each width, an average pool over windows, and a dense layer
    that gives the logit of going on. It does not look at the exit's answer, which an exported file therefore computes
    only for images that stop.

    Args:
        widths: filters of the gate's convolutions.
        pool: height and width of the pool's windows.
        always: names of exits at which no image stops, and which get no gate.
        **kwargs: of GumbelGates (open_probability, temperature, hard, tau, seed, noise, gradient_scale, detached) and
            keras.layers.Layer.

    Raises:
        ValueError: as GumbelGates; if widths or pool are no positive numbers; or, when it is bound, if the chain has no
            exits or lacks one that `always` names, or an exit reads less than one window.

    Source: Herrmann et al., sections 5 and S1.5. The paper's gates end in two logits, of which the difference alone
    counts: it is the one logit here. The paper names no activations; there is a ReLU behind each batch norm, as two
    convolutions with nothing between them would be one.
    """

    def __init__(self, widths=(128, 128), pool=4, **kwargs):
        super().__init__(**kwargs)
        self.widths = tuple(widths)
        if not self.widths or any(not isinstance(width, int) or width < 1 for width in self.widths):
            raise ValueError(f"widths must be one or more numbers of filters, got {self.widths!r}.")
        if not isinstance(pool, int) or pool < 1:
            raise ValueError(f"pool must be a whole number of at least 1, got {pool!r}.")
        self.pool = pool

    def choose(self, chain):
        """Returns the names of the exits that `always` does not name."""
        names = chain.exit_names
        if not names:
            raise ValueError(
                "ExitGates needs a chain with exits, got one without; give Chain some, exits=[Exit(...), ...]."
            )
        for name in self.always:
            if name not in names:
                raise ValueError(
                    f"always names exit {name!r}, which is not there{near(name, names)}; exits are {names}."
                )
        return [name for name in names if name not in self.always]

    def prepare(self, chain):
        """Makes a gate per decided exit and builds it for what the exit reads."""
        for step in chain.steps():
            if step.exit is not None and step.exit.name in self.names:
                name, spec = step.exit.name, step.exit.read(chain.output_of(step.place))
                self._check_size(name, spec)
                self.gates[name] = self._gate(name)
                self.gates[name](spec)
                self._binding.nodes[name] = tree(self.gates[name], spec)
                self._binding.exits[name] = step.exit

    def _check_size(self, name, spec):
        if len(getattr(spec, "shape", ())) != 4:
            shapes = keras.tree.map_structure(lambda each: tuple(each.shape), spec)
            raise ValueError(
                f"the gate of exit {name!r} reads [batch, height, width, channels], but the exit reads {shapes}; give "
                "the exit a leaf, or leave it to another decider."
            )
        side = min(spec.shape[1:3])
        if side < self.pool:
            raise ValueError(
                f"exit {name!r} reads {tuple(spec.shape)}, and its gate pools {self.pool}x{self.pool} of it; give "
                f"ExitGates at most pool={side}."
            )

    def _gate(self, name):
        """Returns a new gate, not built yet."""
        parts = []
        for width in self.widths:
            parts += [
                layers.Conv2D(width, 3, padding="same", use_bias=False, dtype="float32"),
                layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype="float32"),
                layers.ReLU(dtype="float32"),
            ]
        start = keras.initializers.Constant(math.log(self.open_probability / (1.0 - self.open_probability)))
        parts += [
            layers.AveragePooling2D(self.pool, dtype="float32"),
            layers.Flatten(dtype="float32"),
            layers.Dense(1, bias_initializer=start, dtype="float32"),
        ]
        return keras.Sequential(parts, name=f"{name}_gate")

    def decide(self, k, x, carry, training=None):
        """Returns no decision."""
        return {}, {}, carry

    def reads_answer(self, name):
        """Says no: gates look at what the exit reads."""
        return False

    def decide_exit(self, name, logits, x, carry, training=None):
        """Samples in training, compares with tau otherwise; 1 goes on."""
        if name not in self.gates:
            return {}, {}, carry
        leaf = self.gate_input(self._binding.exits[name].read(x), training)
        said = ops.reshape(self.gates[name](leaf, training=training), (-1,))
        decisions, probabilities = self.decided(said, lambda values: {name: values}, training)
        return decisions, probabilities, carry

    def exit_nodes(self, name):
        """Returns the gate's cost."""
        return [self._binding.nodes[name]] if name in self._binding.nodes and not self.idle else []

    def get_config(self):
        """Returns the arguments; temperature and tau are those of now."""
        return {**super().get_config(), "widths": list(self.widths), "pool": self.pool}
