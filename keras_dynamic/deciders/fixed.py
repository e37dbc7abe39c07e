"""Deciders that ignore the image: fixed patterns, and random ones."""

import keras
import numpy as np

from keras_dynamic.deciders.gates import PerUnitGates
from keras_dynamic.layers import Decider
from keras_dynamic.layers.decider import check_names
from keras_dynamic.messages import is_count
from keras_dynamic.ops import SeedGenerator, binary_gumbel


class Fixed(Decider):
    """Runs the same units for all images. Subclasses write `pattern`."""

    def pattern(self, names):
        """Returns {unit name: True or False} for the skippable units of these names, in order."""
        raise NotImplementedError(f"{type(self).__name__} must define pattern(names).")

    def prepare(self, chain):
        """Computes which units run."""
        self._binding.pattern = self.pattern(list(self.names))

    def decide(self, k, x, carry, training=None):
        """Returns the unit's decisions in the pattern."""
        unit = self.unit_names[k]
        own = {name: run for name, run in self._binding.pattern.items() if name == unit or name.startswith(f"{unit}[")}
        return own, {name: float(run) for name, run in own.items()}, carry

    def decide_exit(self, name, logits, x, carry, training=None):
        """Returns the exit's decision in the pattern, if it has one."""
        own = {name: self._binding.pattern[name]} if name in self._binding.pattern else {}
        return own, {name: float(going) for name, going in own.items()}, carry

    def reads_logits(self, name):
        """Returns False: the pattern reads nothing."""
        return False


@keras.saving.register_keras_serializable("keras_dynamic")
class Never(Fixed):
    """Skips every unit that can be skipped."""

    def pattern(self, names):
        """Returns False for all."""
        return dict.fromkeys(names, False)


@keras.saving.register_keras_serializable("keras_dynamic")
class Pattern(Fixed):
    """Runs the units and groups of channels that a dictionary names with a true value, and stops at a false exit.

    Args:
        runs: {unit name: bool or 0/1}, or {name of a group, 'unit[1]': bool or 0/1}, or {exit name: whether to go on};
            what is not named always runs and is no decision.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: when bound to a chain that lacks a named unit, group or exit.
    """

    def __init__(self, runs, **kwargs):
        super().__init__(**kwargs)
        self.runs = {name: bool(value) for name, value in runs.items()}

    def choose(self, chain):
        """Returns the named units, groups and exits in the chain's order."""
        others = (*chain.group_names, *chain.exit_names)
        check_names([name for name in self.runs if name not in others], chain, "runs")
        return [name for name in chain.own_names if name in self.runs]

    def pattern(self, names):
        """Returns the given dictionary."""
        return dict(self.runs)


class _KOfThem(Fixed):
    def __init__(self, k, **kwargs):
        super().__init__(**kwargs)
        if not is_count(k, 0):
            raise ValueError(f"k must be a whole number of units, at least 0, got {k!r}.")
        self.k = k

    def pattern(self, names):
        """Returns True for the chosen k."""
        if self.k > len(names):
            raise ValueError(f"k must be at most the {len(names)} units that can be skipped, got {self.k}.")
        chosen = self.chosen(len(names))
        return {name: index in chosen for index, name in enumerate(names)}


@keras.saving.register_keras_serializable("keras_dynamic")
class FirstK(_KOfThem):
    """Runs the first k of the units that can be skipped. Source: BlockDrop, section 4.2."""

    def chosen(self, count):
        """Returns the indices 0..k-1."""
        return set(range(self.k))


@keras.saving.register_keras_serializable("keras_dynamic")
class DistributeK(_KOfThem):
    """Runs k units spread evenly over those that can be skipped. Source: BlockDrop, section 4.2."""

    def chosen(self, count):
        """Returns k indices, each in the middle of its share."""
        return {int((index + 0.5) * count / self.k) for index in range(self.k)}


@keras.saving.register_keras_serializable("keras_dynamic")
class RandomK(_KOfThem):
    """Runs k units drawn once, with a seed, from those that can be skipped. Source: BlockDrop, section 4.2.

    Args:
        k: how many run.
        seed: of the draw.
        **kwargs: of keras.layers.Layer.
    """

    def __init__(self, k, seed=0, **kwargs):
        super().__init__(k, **kwargs)
        self.seed = seed

    def chosen(self, count):
        """Returns k distinct indices."""
        return set(np.random.default_rng(self.seed).permutation(count)[: self.k].tolist())


@keras.saving.register_keras_serializable("keras_dynamic")
class Stochastic(Decider):
    """Samples the gates of another decider, in inference too.

    Args:
        gates: PerUnitGates, shared, not copied.
        seed: of the samples.
        **kwargs: of keras.layers.Layer.

    Raises:
        ValueError: if gates is no PerUnitGates.

    Source: Herrmann et al., section 3.3.
    """

    def __init__(self, gates, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(gates, PerUnitGates):
            raise ValueError(f"Stochastic samples a PerUnitGates decider, got {type(gates).__name__}.")
        self.gates, self.seed = gates, seed
        self.seed_generator = SeedGenerator(seed)

    def decision_of(self, name):
        """Returns the name that the gates give."""
        return self.gates.decision_of(name)

    @property
    def constants(self):
        """The constant decisions of the gates."""
        return self.gates.constants

    def choose(self, chain):
        """Returns the units that the gates decide."""
        return self.gates.choose(chain)

    def prepare(self, chain):
        """Binds the gates if they are not bound yet."""
        self.gates.bind(chain)

    def decide(self, k, x, carry, training=None):
        """Samples unit k's gate."""
        logits = self.gates.logits(k, x, training)
        if logits is None:
            return *self.gates.with_frozen(k, {}, {}), carry
        drawn = binary_gumbel(logits, self.gates.temperature, seed=self.seed_generator) > 0.5
        decisions, probabilities = self.gates.by_name(k, drawn), self.gates.by_name(k, keras.ops.sigmoid(logits))
        return *self.gates.with_frozen(k, decisions, probabilities), carry

    def unit_nodes(self, k):
        """Returns the gates' cost."""
        return self.gates.unit_nodes(k)
