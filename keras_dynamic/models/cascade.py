"""Cascades: whole networks, cheapest first, each of which runs only if those before it are uncertain."""

import itertools
import warnings

import keras
import numpy as np
from keras import ops

from keras_dynamic.cost import DECIDER, Guard, Node, budget_of, given, register, tree
from keras_dynamic.data import as_arrays
from keras_dynamic.deciders import Confidence
from keras_dynamic.layers import Chain, Decided, DynamicModel, Unit
from keras_dynamic.layers.logits_end import backwards, function_of, logits_model
from keras_dynamic.layers.normalize_pixels import warn_of_fractions
from keras_dynamic.layers.saved_arguments import SavedArguments
from keras_dynamic.messages import check_fraction, distinct
from keras_dynamic.ops import (
    Fitted,
    answers,
    blend,
    check_images,
    confidence,
    fit_temperature,
    fit_thresholds,
    quantile_thresholds,
    right_answers,
    share_right,
    stops,
    task_of_loss,
)


class _ScaledNetwork(SavedArguments):
    """A layer that holds a network and the temperature that its logits are divided by."""

    def __init__(self, network, temperature=1.0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not temperature > 0:
            raise ValueError(f"a temperature must be positive, got {temperature!r}.")
        self.network = network
        initial = keras.initializers.Constant(temperature)
        self.temperature = self.add_weight((), initial, "float32", trainable=False, name="temperature")

    def scaled(self, logits):
        """Returns logits / temperature, float32."""
        return ops.cast(logits, "float32") / self.temperature


@keras.saving.register_keras_serializable("keras_dynamic")
class FirstNetwork(_ScaledNetwork):
    """The stem of a cascade: x = {image, logits of the first network / temperature}."""

    def call(self, image, training=None):
        """Returns {'image': [batch, ...], 'logits': float32 [batch, classes]}."""
        return {"image": image, "logits": self.scaled(self.network(image, training=training))}


@keras.saving.register_keras_serializable("keras_dynamic")
class NextNetwork(_ScaledNetwork, Unit):
    """A later network of a cascade as a unit: it adds its logits / temperature to discount times the sum.

    Args:
        network: keras.Model that returns logits; a DynamicModel's own decisions appear as 'unit/decision'.
        temperature: divides its logits; a non-trainable variable.
        discount: multiplies the sum of the networks before, in [0, 1]; a non-trainable variable.
        **kwargs: of keras.layers.Layer.
    """

    def __init__(self, network, temperature=1.0, discount=1.0, **kwargs):
        super().__init__(network, temperature, **kwargs)
        initial = keras.initializers.Constant(check_fraction("discount", discount))
        self.discount = self.add_weight((), initial, "float32", trainable=False, name="discount")

    @property
    def nested(self) -> bool:
        """Whether the network itself makes decisions."""
        return isinstance(self.network, DynamicModel) and bool(self.network.decision_names)

    def branch(self, x, training=None, given=None, executor=None):
        """Returns x with the network's logits added to the discounted sum, and the decisions of a dynamic network."""
        if not self.nested:
            return self._added(x, self.network(x["image"], training=training))
        options = {} if executor is None else {"executor": executor}
        inner = self.network.outcome(x["image"], decisions=given or None, training=training, **options)
        return self._added(x, inner.logits), Decided(*(getattr(inner, field) for field in Decided._fields))

    def _added(self, x, logits):
        return {"image": x["image"], "logits": self.discount * x["logits"] + self.scaled(logits)}

    def otherwise(self, x, training=None):
        """Returns x."""
        return x

    def call(self, x, decision=None, training=None, given=None, executor=None):
        """Returns the masked execution."""
        if not self.nested:
            return super().call(x, decision, training)
        y, inner = self.branch(x, training, given, executor)
        return (y if decision is None else blend(decision, y, x)), inner

    def skip(self, x, training=None, given=None, executor=None):
        """Returns x, and a dynamic network's decisions as 0."""
        if not self.nested:
            return x
        closed = dict.fromkeys(self.network.decision_names, 0.0)
        return x, Decided(closed, closed, closed)

    def cost_node(self, x, guard: Guard | None, groups: tuple[Guard | None, ...] = ()) -> Node:
        """Returns the network's cost tree under guard."""
        inner = tree(self.network, x["image"]).prefixed(self.name)
        return Node(self.name, when=guard, children=(inner,))


@keras.saving.register_keras_serializable("keras_dynamic")
class Leaf(keras.layers.Layer):
    """Returns one leaf of a dictionary: the head of a cascade.

    Args:
        key: of the leaf.
        **kwargs: of keras.layers.Layer.
    """

    def __init__(self, key, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.key = key

    def call(self, x):
        """Returns x[key]."""
        return x[self.key]

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "key": self.key}


@register(Leaf)
def _leaf_cost(layer, inputs):
    return 0


@register(FirstNetwork)
def _first_cost(layer, inputs):
    return tree(layer.network, inputs)


DISCOUNTS = (1.0, 0.75, 0.5, 0.25, 0.0)
_BATCH = 2**22  # numbers in a batch of inputs: 27 images of 224 pixels
_SEEN = 0.005  # of the errors of always answering the largest class; with fewer, data may be training data


def cascade(networks, temperatures=None, confidence="max_probability", name="cascade", discount=1.0):
    """Returns several trained classifiers as one dynamic model; nothing is trained.

    The first network always runs. Each later one runs only for images for which the sum of the logits so far is not
    confident; it multiplies the sum by the discount and adds its logits, divided by its temperature. Until thresholds
    are fitted every one runs.

        model = kd.models.cascade([small, large])
        model.fit_thresholds(x_held_out, y_held_out, macs=20e6)

    Args:
        networks: two or more Keras classifiers, cheapest first, of the same input shape and classes, with their
            preprocessing inside. They end in logits, or in a softmax or sigmoid, which is taken off. Their logits are
            added, so they are no regressions; logits at each pixel or step, [batch, ..., classes], are added too.
        temperatures: one positive number per network, None for 1; see also Cascade.fit_temperatures.
        confidence: measure of how certain logits are: 'max_probability', 'entropy' or 'margin' of classes (one logit
            is that of a binary classifier), 'label_probability' of several labels, or a function, see
            deciders.Confidence.
        name: of the model.
        discount: in [0, 1]: 1 adds up the logits of all networks that run, 0 takes those of the last of them; behind
            a much weaker network something between is right more often. See also Cascade.fit_thresholds.

    Returns:
        Cascade, built; decisions are named after the networks from the second on.

    Raises:
        ValueError: if networks differ in input or classes, are not in order of cost, end in something else, contain a
            layer without a cost rule, or end in a sigmoid over several labels of which confidence is none.

    Source: Wisdom of Committees (arXiv 2012.01988).
    """
    sigmoid = next((each for each in networks if _ends_in_sigmoid(each)), None)
    networks = [logits_model(network) for network in networks]
    if len(networks) < 2:
        raise ValueError(f"a cascade needs at least two networks, got {len(networks)}.")
    shapes = [_image_shape(network) for network in networks]
    for network, shape in zip(networks, shapes, strict=True):
        if shape != shapes[0]:
            raise ValueError(
                f"networks of a cascade take the same input, but {networks[0].name!r} takes {shapes[0]} and "
                f"{network.name!r} takes {shape}; put a Resizing layer into one of them."
            )
    image = keras.KerasTensor((None, *shapes[0]))
    answers_of = [tuple(network.compute_output_spec(image).shape[1:]) for network in networks]
    classes = answers_of[0][-1]
    for network, shape in zip(networks, answers_of, strict=True):
        if shape[-1] != classes:
            raise ValueError(
                f"networks of a cascade have the same classes, but {networks[0].name!r} has {classes} and "
                f"{network.name!r} has {shape[-1]}."
            )
        if shape != answers_of[0]:
            raise ValueError(
                f"networks of a cascade answer in the same shape, but {networks[0].name!r} gives [batch, "
                f"{', '.join(map(str, answers_of[0]))}] and {network.name!r} [batch, {', '.join(map(str, shape))}]."
            )
    if sigmoid is not None and classes > 1 and confidence in ("max_probability", "entropy", "margin"):
        raise ValueError(
            f"network {sigmoid.name!r} ends in a sigmoid over {classes} outputs, labels that may apply together, of "
            f"which {confidence!r} is no confidence; give confidence='label_probability'."
        )
    macs = [tree(network, image).total_macs for network in networks]
    if macs != sorted(macs):
        order = ", ".join(f"{network.name} {count:,}" for network, count in zip(networks, macs, strict=True))
        raise ValueError(f"networks of a cascade go from the cheapest to the dearest, got MACs: {order}; sort them.")
    temperatures = [1.0] * len(networks) if temperatures is None else list(temperatures)
    if len(temperatures) != len(networks):
        raise ValueError(f"temperatures must be {len(networks)} numbers, one per network, got {temperatures}.")
    stem = FirstNetwork(networks[0], temperatures[0], name="first")
    names = distinct(["stem", "head", DECIDER, *(network.name for network in networks)])[3:]
    rest = zip(networks[1:], temperatures[1:], names[1:], strict=True)
    units = [NextNetwork(network, temperature, discount, name=unit_name) for network, temperature, unit_name in rest]
    chain = Chain(stem, units, Leaf("logits", name="sum"), name="chain")
    task = "labels" if sigmoid is not None and classes > 1 else _common_task(networks, classes)
    model = Cascade(chain, Confidence(confidence), task=task, name=name)
    model.build((None, *shapes[0]))
    return model


@keras.saving.register_keras_serializable("keras_dynamic")
class Cascade(DynamicModel):
    """A DynamicModel of whole networks, whose thresholds are fitted on held-out images; made by `cascade`."""

    @property
    def networks(self):
        """The networks, cheapest first."""
        return [self.chain.stem.network, *(unit.network for unit in self.chain.units)]

    @property
    def thresholds(self):
        """float32 array, [networks - 1]."""
        return keras.ops.convert_to_numpy(self.decider.thresholds)

    def fit_temperatures(self, x, y=None, batch_size=None):
        """Sets each network's temperature to the one with the least cross entropy on held-out data.

        Args:
            x: inputs, [n, ...], or a tf.data.Dataset or keras.utils.PyDataset of inputs and labels.
            y: class numbers [n], or one-hot labels [n, classes].
            batch_size: images at a time; None takes as many as fit a few hundred MB.

        Returns:
            The temperatures, a list of floats.

        Raises:
            ValueError: if images are missing or not finite, or labels are not one class for each.

        Warns:
            UserWarning: if a network makes so few errors that it may have been trained on the data.
        """
        if self.task != "classes" or len(self.logits_shape) != 2:
            raise ValueError(
                "temperatures are fitted for one class per image, got labels that may apply together, or several "
                "answers per image; give cascade(temperatures=...), or leave them at 1."
            )
        x, y = as_arrays(x, y)
        if y is None:
            raise ValueError("temperatures are fitted to labels, got none; give y=...")
        y = self._labels(x, y)
        logits, _ = self._run_each(x, batch_size)
        self.warn_of_seen(logits, y)
        # One logit is that of the second of two classes, of which the first has logit 0.
        several = [np.concatenate([0 * each, each], axis=1) if each.shape[1] == 1 else each for each in logits]
        temperatures = [fit_temperature(each, y) for each in several]
        for holder, temperature in zip([self.chain.stem, *self.chain.units], temperatures, strict=True):
            holder.temperature.assign(temperature)
        return temperatures

    @property
    def discount(self) -> float:
        """What multiplies the sum of the logits before another network's are added."""
        return float(self.chain.units[0].discount)

    def set_discount(self, discount):
        """Sets the discount of all networks after the first, in [0, 1]."""
        for unit in self.chain.units:
            unit.discount.assign(check_fraction("discount", discount))

    def fit_thresholds(
        self,
        x,
        y=None,
        macs=None,
        quantiles=None,
        batch_size=None,
        discounts=None,
        ms=None,
        mj=None,
        deadline=None,
        table=None,
    ) -> Fitted:
        """Sets the thresholds, and on request the discount, on held-out data; each network runs once.

        Args:
            x: inputs that no network was trained on, [n, ...], or a data set of such and their labels.
            y: labels, see ops.right_answers; not needed with quantiles.
            macs: budget: mean MACs per image of at most this. Among such thresholds those of highest accuracy are
                taken, ties to the cheaper. None, and no other limit, takes the cheapest whose accuracy is at least the
                last network's alone.
            quantiles: instead of labels, the share in [0, 1] of the images that reach each later network for which it
                runs.
            batch_size: images at a time; None takes as many as fit a few hundred MB.
            discounts: discounts to try, such as models.DISCOUNTS, of which the best is set: the most accurate within
                the budget, or without one the cheapest; None keeps the present one.
            ms: budget of mean milliseconds in place of MACs, with a table.
            mj: budget of mean millijoules in place of MACs, with a table.
            deadline: what no image may cost, in the table's unit, or in MACs without one: networks that do not fit
                never run. Without a mean budget beside it the most accurate thresholds are taken.
            table: {'stem': cost of the first network, name of a later one: its cost}, or the cost of an image that
                stops at each network, rising; see evaluation.fit_budget.

        Returns:
            Fitted(thresholds, accuracy, spent) on these data; accuracy is NaN without labels, spent is in the budget's
            unit.

        Raises:
            ValueError: if images are missing or not finite, labels are not one class for each, budget or deadline lie
                under the first network's cost, there are neither labels nor quantiles, the table does not fit, or
                quantiles are of the wrong number or range.

        Warns:
            UserWarning: as fit_temperatures.
        """
        later = len(self.networks) - 1
        budget = budget_of(macs, ms, mj, deadline, table)
        if quantiles is not None and (budget.mean is not None or np.shape(quantiles) != (later,)):
            raise ValueError(
                f"quantiles must be {later} numbers, one per network after the first, and come without a budget, "
                f"got quantiles={quantiles!r} and a budget of {budget.mean!r}."
            )
        x, y = as_arrays(x, y)
        if discounts is not None and quantiles is not None:
            raise ValueError("discounts are compared by their accuracy within a budget, got quantiles; leave one out.")
        if quantiles is None and y is None:
            raise ValueError("fit_thresholds needs labels y, or quantiles=[...], which need none; got neither.")
        y = self._labels(x, y)
        whole = np.array([tree(network).total_macs for network in self.networks])
        each = budget.of_stages(np.cumsum(self._prices(budget)))  # of an image for which all of the networks run
        stages = budget.stages_within(each)
        logits, macs_each = self._run_each(x, batch_size)
        scaled = self._scaled(logits)
        spent = np.cumsum(macs_each / whole[:, None] * np.diff(each, prepend=0)[:, None], axis=0).T[:, :stages]
        budget.check_least(spent[:, 0].mean())
        if quantiles is not None:
            sums, certain = self._sums(scaled[:stages], self.discount)
            thresholds = quantile_thresholds(certain, quantiles[: stages - 1])
            rows, at = np.arange(len(x)), stops(certain, thresholds)
            right = float("nan") if y is None else self._right(sums, y)[rows, at].mean()
            fitted = Fitted(thresholds, float(right), float(spent[rows, at].mean()))
        else:
            self.warn_of_seen(logits, y)
            discounts = [self.discount] if discounts is None else discounts
            mean = np.inf if budget.mean is None and budget.deadline is not None else budget.mean
            discount, fitted = self._best_discount(discounts, scaled[:stages], y, spent, mean)
            self.set_discount(discount)
            if (
                budget.mean is None
                and budget.deadline is None
                and fitted.spent > spent[:, -1].mean() - spent[:, -2].mean()
            ):
                warnings.warn(
                    "the last network alone is as accurate and costs less than this cascade, which spends "
                    f"{budget.text(fitted.spent)} on average; it takes better networks before it, or a budget.",
                    stacklevel=2,
                )
        thresholds = np.full(later, self.decider.lowest, np.float32)
        thresholds[: stages - 1] = fitted.thresholds
        self.decider.set_thresholds(thresholds)
        return fitted._replace(thresholds=thresholds)

    def _prices(self, budget) -> list:
        """Returns what each network costs with everything on, in the budget's unit."""
        priced = budget.tree(self.cost_tree)
        *networks, head = (part.total_macs for part in priced.children)
        return [networks[0] + head + priced.macs, *networks[1:]]  # every image pays for head and decisions

    def stages(self, x, batch_size=None):
        """Runs every network on all inputs.

        Args:
            x: inputs, [n, ...].
            batch_size: as of fit_thresholds.

        Returns:
            (sums, certain, spent, alone): the logits after each network, a list of [n, ..., classes]; how certain all
            but the last are, [n, networks - 1]; MACs up to each network, [n, networks]; each network's own logits.
        """
        logits, macs_each = self._run_each(x, batch_size)
        sums, certain = self._sums(self._scaled(logits), self.discount)
        return sums, certain, np.cumsum(macs_each, axis=0).T, logits

    def sums_of(self, logits, discount):
        """Returns what the cascade answers after each network with another discount.

        Args:
            logits: each network's own, as `stages` returns them.
            discount: in [0, 1].

        Returns:
            (sums, certain), as of `stages`.
        """
        return self._sums(self._scaled(logits), discount)

    def _scaled(self, logits):
        """Returns each network's logits over its temperature."""
        holders = (self.chain.stem, *self.chain.units)
        return [each / float(holder.temperature) for each, holder in zip(logits, holders, strict=True)]

    def _sums(self, scaled, discount):
        """Returns the sums of the logits [networks, n, ..., classes], and how certain all but the last are, [n, k]."""
        sums = list(itertools.accumulate(scaled, lambda before, logits: np.float32(discount) * before + logits))
        certain = [_numpy(confidence(each, self.decider.confidence)) for each in sums[:-1]]
        return sums, np.stack(certain, axis=1) if certain else np.zeros((len(sums[0]), 0), np.float32)

    def _best_discount(self, discounts, scaled, y, spent, macs):
        """Returns the best of the discounts, and its Fitted."""
        tried, problem = [], ValueError("discounts must be one or more numbers in [0, 1], got none.")
        for discount in discounts:
            sums, certain = self._sums(scaled, check_fraction("discount", discount))
            try:
                tried.append((discount, fit_thresholds(certain, self._right([*sums, scaled[-1]], y), spent, macs)))
            except ValueError as error:  # these do not reach the last network's accuracy; others may
                problem = error
        if not tried:
            raise problem
        if macs is None:
            return min(tried, key=lambda each: (each[1].spent, -each[1].accuracy))
        return max(tried, key=lambda each: (each[1].accuracy, -each[1].spent))

    def _labels(self, x, y):
        """Returns checked labels, or None if there are none."""
        check_images(x)
        warn_of_fractions(self, x)
        if y is None:
            return None
        y = right_answers(y, (len(x), *self.logits_shape[1:]), self.task)
        if self.task == "classes" and (y == y.flat[0]).all():
            raise ValueError(
                f"the labels hold one class only, {y.flat[0]}, on which always answering it is right; give held-out "
                "images of all classes."
            )
        return y

    def _right(self, logits, y):
        """Returns the share of right answers of several logits [n, ..., classes], [n, number of logits]."""
        return np.column_stack([share_right(answers(each, self.task), y) for each in logits])

    def _run_each(self, x, batch_size):
        """Returns logits [networks, n, classes] and each network's MACs [networks, n] on x."""
        if batch_size is None:
            batch_size = int(np.clip(_BATCH // max(1, np.prod(np.shape(x)[1:])), 1, 256))
        logits, macs = [], []
        for network in self.networks:
            outputs, costs = [], []
            for start in range(0, len(x), batch_size):
                batch = x[start : start + batch_size]
                if isinstance(network, DynamicModel) and network.decision_names:
                    outcome = network.outcome(batch, training=False)
                    outputs.append(_numpy(outcome.logits))
                    decisions = {name: _numpy(value) for name, value in outcome.decisions.items()}
                    costs.append(np.broadcast_to(given(network.cost_tree, decisions), (len(batch),)))
                else:
                    outputs.append(_numpy(network.predict_on_batch(batch)))  # compiled, which takes less memory
                    costs.append(np.full(len(batch), tree(network).total_macs))
            logits.append(np.concatenate(outputs))
            macs.append(np.concatenate(costs))
        return np.array(logits), np.array(macs)

    def warn_of_seen(self, logits, y):
        """Warns if one of the networks, by its logits on labelled data, may have been trained on them."""
        largest = np.bincount(y.reshape(-1)).max() / y.size
        for network, right in zip(self.networks, self._right(logits, y).mean(axis=0), strict=True):
            if 1 - right < _SEEN * (1 - largest):
                warnings.warn(
                    f"network {network.name!r} is {right:.1%} right on these data, of which the largest class has "
                    f"{largest:.1%}; if it has been trained on them, fit on images that no network has seen, or use "
                    "quantiles with such a network last.",
                    stacklevel=3,
                )


def _common_task(networks, classes) -> str | None:
    """Returns the task that the networks' compiled losses are for; None if none is compiled."""
    tasks = {
        network.task if isinstance(network, DynamicModel) else task_of_loss(network.loss, classes)
        for network in networks
        if getattr(network, "loss", None) is not None
    }
    if "values" in tasks:
        raise ValueError(
            "a cascade adds up the logits of classifiers, got networks compiled as regressions; give exits to one of "
            "them (transform.attach_exits), or gates."
        )
    return "labels" if tasks == {"labels"} else None


def _ends_in_sigmoid(network) -> bool:
    """Returns whether a network ends in a sigmoid; False of what is no Keras model."""
    last = next(backwards(network), None) if isinstance(network, keras.Model) else None
    return last is not None and function_of(last) == "sigmoid"


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def _image_shape(network):
    shape = network.image_shape if isinstance(network, DynamicModel) else network.inputs[0].shape
    if shape is None:
        raise ValueError(
            f"network {network.name!r} is not built, so its input is unknown; call it on a batch of images first."
        )
    return tuple(shape[1:])
