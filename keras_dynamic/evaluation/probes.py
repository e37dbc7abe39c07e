"""What could be answered early in a trained network: linear classifiers on the outputs of its units."""

from typing import NamedTuple

import keras
import numpy as np

from keras_dynamic.layers.exits import head_logits
from keras_dynamic.ops import fit_temperature

_NUMBERS = 512  # of each input that a linear classifier reads at most
_FOLDS = 5
_PENALTIES = (3e-3, 3e-2, 3e-1)  # of the weights, per input
_POOLS = {4: keras.layers.AveragePooling2D, 3: keras.layers.AveragePooling1D}


class Probes(NamedTuple):
    """Answers of a network after some of its units, and at its end, to n inputs.

    Attributes:
        after: names of the units, in order.
        logits: float32 [units, n, classes], of linear classifiers, each input's by one that has not seen it.
        whole: float32 [n, classes], the network's own; over its temperature, as all of these are.
    """

    after: list[str]
    logits: np.ndarray
    whole: np.ndarray

    def accuracies(self, y) -> list[float]:
        """Returns the share of right answers of each linear classifier."""
        return [float((each.argmax(-1) == y).mean()) for each in self.logits]


def probe_units(model, x, y, places=10, after=None, batch_size=250) -> Probes:
    """Fits a linear classifier to what each of some units returns, averaged over a coarse grid.

    The classifiers are ridge regressions to one-hot labels, fitted on four fifths of the inputs and used on the rest.

    Args:
        model: built DynamicModel that decides nothing and has no exits.
        x: inputs that the network was not trained on, [n, ...].
        y: class numbers, int [n].
        places: how many units at most, spread over the network's MACs; the last unit is none of them.
        after: names of units that shall be among them.
        batch_size: inputs at a time.

    Returns:
        Probes; of no units if the network has only one.

    Source: Alain and Bengio 2016 (arXiv 1610.01644).
    """
    chain, classes = model.chain, model.classes
    names = _spread([unit.name for unit in chain.units], model.cost_tree, places, after or ())
    image = keras.Input(model.image_shape[1:])
    x_unit, outputs = chain.stem(image), []
    for unit in chain.units:
        x_unit = unit(x_unit)
        if getattr(unit, "nested", False):
            x_unit = x_unit[0]
        if unit.name in names:
            outputs += _averages(x_unit)
    extractor = keras.Model(image, [*outputs, head_logits(chain.head, x_unit, None)])
    found = [np.concatenate(parts) for parts in zip(*_batches(extractor, x, batch_size), strict=True)]
    *features, whole = found
    logits = [_cross_fitted(each.reshape(len(x), -1), y, classes) for each in features]
    whole = whole / fit_temperature(whole, y)
    return Probes(names, np.array(logits, np.float32).reshape(-1, len(x), classes), whole.astype(np.float32))


def _batches(extractor, x, batch_size):
    for start in range(0, len(x), batch_size):
        found = extractor.predict_on_batch(x[start : start + batch_size])
        yield found if isinstance(found, list) else [found]


def _spread(names, tree, places, wanted_names) -> list[str]:
    """Returns the names of units before the last, spread over the MACs."""
    total, costs = 0, {}
    for part in tree.children:
        total += part.total_macs
        costs[part.name] = total
    names = names[:-1]
    if len(names) <= places:
        return names
    wanted = np.linspace(costs[names[0]], costs[names[-1]], places)
    nearest = {min(names, key=lambda name: abs(costs[name] - each)) for each in wanted}
    return [name for name in names if name in nearest or name in wanted_names]


def _averages(output) -> list:
    """Returns a unit's output, averaged over a grid so that few numbers are left; of several tensors the deepest."""
    leaf = max(keras.tree.flatten(output), key=lambda each: (each.shape[-1], len(each.shape)))
    rank, channels = len(leaf.shape), leaf.shape[-1]
    if rank not in _POOLS:
        return [leaf]
    axes = rank - 2
    cells = max(1, int((_NUMBERS / channels) ** (1 / axes)))
    sizes = [max(1, -(-side // cells)) for side in leaf.shape[1:-1]]
    return [_POOLS[rank](tuple(sizes) if axes == 2 else sizes[0], padding="same")(leaf)]


def _cross_fitted(features, y, classes) -> np.ndarray:
    """Returns logits [n, classes] of ridge regressions, each row's by one that was fitted without it."""
    x = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    if x.shape[1] > _NUMBERS:  # many channels: random mixtures of them
        x = x @ np.random.default_rng(0).normal(0, x.shape[1] ** -0.5, (x.shape[1], _NUMBERS))
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    wanted, fold = np.eye(classes)[y] - 1 / classes, np.arange(len(x)) % _FOLDS
    found = np.zeros((len(_PENALTIES), len(x), classes))
    for number in range(_FOLDS):
        seen = fold != number
        values, vectors = np.linalg.eigh(x[seen].T @ x[seen])
        target, asked = vectors.T @ (x[seen].T @ wanted[seen]), x[~seen] @ vectors
        for row, penalty in enumerate(_PENALTIES):
            found[row, ~seen] = asked @ (target / (values + penalty * seen.sum())[:, None])
    best = max(found, key=lambda each: (each.argmax(-1) == y).mean())
    return 10 * best / fit_temperature(10 * best, y)


def answers_of_accuracy(probes, y, accuracy, seed=0) -> np.ndarray:
    """Returns logits that are right as often as wanted, and where a weaker network would be: stand-ins for one.

    They lie between the answers after two neighbouring units, or between those after the first one and noise.

    Args:
        probes: Probes.
        y: class numbers, int [n].
        accuracy: wanted, from that of chance to the network's own.
        seed: of the noise.

    Returns:
        float32 [n, classes], over their temperature.
    """
    noise = np.random.default_rng(seed).normal(size=probes.whole.shape)
    family = [noise, *probes.logits, probes.whole]
    right = [float((each.argmax(-1) == y).mean()) for each in family]
    place = next((k for k, each in enumerate(right) if each >= accuracy), len(family) - 1)
    low, high = (family[max(place - 1, 0)], family[place])
    share = [0.0, 1.0]
    for _ in range(20):
        middle = sum(share) / 2
        enough = ((1 - middle) * low + middle * high).argmax(-1)
        share[int((enough == y).mean() >= accuracy)] = middle
    mixed = (1 - share[1]) * low + share[1] * high
    return (mixed / fit_temperature(mixed, y)).astype(np.float32)
