"""The base classes of methods: distillation from a teacher, weight decay, annealed targets."""

import warnings

import keras
import numpy as np
from keras import ops

from keras_dynamic import keras_hooks
from keras_dynamic.callbacks import AnnealTarget, Curriculum
from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.logits_end import check_logits, logits_model
from keras_dynamic.losses import distillation, weight_decay
from keras_dynamic.messages import check_fraction, check_number
from keras_dynamic.ops import right_answers

STRENGTHS = {"gamma": 15.0, "units": 50.0}  # the ways to hold it, and how strongly by default


def check_usage(usage, hold):
    """Returns a usage as floats, or raises if it does not fit the way in which it is held.

    Args:
        usage: share of units, {unit name: share}, or None.
        hold: one of STRENGTHS.

    Raises:
        ValueError: if a share is outside (0, 1], or a usage per unit or none comes with the wrong hold.
    """
    if isinstance(usage, dict):
        if hold != "units":
            raise ValueError(f"a usage per unit needs hold='units', got {hold!r}.")
        return {name: _check_share(f"usage of {name!r}", value) for name, value in usage.items()}
    if usage is None and hold != "gamma":
        raise ValueError(f"hold={hold!r} needs a usage to hold, got None; give a share of units, e.g. usage=0.6.")
    return None if usage is None else _check_share("usage", usage)


def _check_share(name, value):
    if not check_fraction(name, value) > 0:
        raise ValueError(f"{name} must be over 0, got {value!r}; give usage=None to leave it to gamma.")
    return float(value)


@keras.saving.register_keras_serializable("keras_dynamic")
class Method(DynamicModel):
    """A dynamic model with further losses in training: distillation and weight decay, both optional.

    Sample weights and class weights multiply the losses on logits (the compiled one, wherever it is applied,
    distillation, and those that a method documents). Losses on decisions and cost count all images alike.

    Args:
        chain: Chain.
        decider: Decider.
        weight_decay: PyTorch's coefficient, on the chain's kernels; 0 for none.
        teacher: keras.Model giving logits to distil from, e.g. a second copy of the ungated network; a softmax or
            sigmoid is taken off. It is not trained and not saved with this model.
        distillation_weight: of temperature^2 KL(teacher || model).
        distillation_temperature: of the distillation.
        task_weight: of the compiled loss, and of regularizers that layers add to it, in training; positive.
        **kwargs: of keras.Model.

    Raises:
        ValueError: if a weight is no number of at least 0, task_weight or the temperature not positive, or teacher no
            model or one that ends in something else than logits; or, when it is built, if no unit of the chain is
            decided, or teacher or decider share weights with it.
    """

    compares_labels = False  # whether a loss beside the compiled one compares answers with labels

    def __init__(
        self,
        chain,
        decider,
        weight_decay=0.0,
        teacher=None,
        distillation_weight=1.0,
        distillation_temperature=4.0,
        task_weight=1.0,
        **kwargs,
    ):
        super().__init__(chain, decider, **kwargs)
        self.task_weight = check_number("task_weight", task_weight, positive=True)
        self.weight_decay = check_number("weight_decay", weight_decay)
        self.distillation_weight = check_number("distillation_weight", distillation_weight)
        self.distillation_temperature = check_number(
            "distillation_temperature", distillation_temperature, positive=True
        )
        if teacher is not None and not isinstance(teacher, keras.layers.Layer):
            raise ValueError(
                f"teacher must be a Keras model that gives logits, got {type(teacher).__name__} {teacher!r}; load it, "
                "e.g. by zoo.load."
            )
        if teacher is not None:
            known = isinstance(teacher, keras.Model) and keras_hooks.graph_is_known(teacher)
            teacher = logits_model(teacher) if known else teacher
            check_logits(teacher, f"teacher {teacher.name!r}")
        self._teacher = _Untracked(teacher)

    def prepare(self, image_shape):
        """Builds chain and decider, and checks that there is something to train."""
        if not self.chain.built:
            self.chain.build(image_shape)  # groups of channels are counted then
        self.check_chain()
        super().prepare(image_shape)
        self._check_apart("teacher", self._teacher.model)
        self._check_apart("decider", self.decider)

    def check_chain(self):
        """Raises a ValueError if there is nothing to train on this chain: here, if no unit is decided."""
        if not self.decider.choose(self.chain):
            raise ValueError(
                f"model {self.name!r} has nothing to decide: no unit of its chain can be skipped, or `always` has all; "
                "give a chain with Residual units, attach exits (transform.attach_exits), or put it into a cascade."
            )

    def _check_apart(self, what, other):
        """Raises a ValueError if a part that must not learn with the chain shares weights with it."""
        own = {id(variable) for variable in self.chain.variables}
        if other is not None and any(id(variable) in own for variable in other.variables):
            raise ValueError(
                f"the {what} {other.name!r} shares weights with the network that learns from it; load or build a "
                "second copy of it."
            )

    def fit(self, x=None, y=None, *args, **kwargs):
        """Trains, as keras.Model.fit; labels in an array are checked first, where a loss compares answers with them."""
        self._warn_of_callbacks(kwargs.get("callbacks"))
        if self.compares_labels and y is not None and self.chain.built and self.task != "values":
            right_answers(y, (len(y), *self.chain.logits_specs[-1].shape[1:]), self.task)
        return super().fit(x, y, *args, **kwargs)

    def _warn_of_callbacks(self, callbacks):
        """Warns of Keras' callbacks that take an epoch for the best before the network is what it will be."""
        given = callbacks if isinstance(callbacks, (list, tuple)) else [callbacks]
        anneals = [each for each in given if isinstance(each, (AnnealTarget, Curriculum))]
        early = [each for each in given if isinstance(each, keras.callbacks.EarlyStopping)]
        early += [each for each in given if getattr(each, "save_best_only", False)]
        if anneals and early:
            warnings.warn(
                f"{type(early[0]).__name__} takes the best epoch while {type(anneals[0]).__name__} still lets the "
                "network compute more than it will; use kd.callbacks.BestWithinTarget.",
                stacklevel=3,
            )

    def outcome_losses(self, x, y, outcome, sample_weight=None):
        """Returns the losses of distillation and weight decay that are switched on."""
        losses = {}
        if self._teacher.model is not None and self.distillation_weight:
            logits = self._teacher.model(x, training=False)
            loss = distillation(outcome.logits, logits, self.distillation_temperature, sample_weight, self.task)
            losses["distillation"] = self.distillation_weight * loss
        if self.weight_decay:
            kernels = [variable for variable in self.chain.trainable_variables if variable.path.endswith("kernel")]
            losses["weight_decay"] = weight_decay(kernels, self.weight_decay)
        return losses


class _Untracked:
    """Holds a model without making it part of another: not saved, not trained."""

    def __init__(self, model):
        self.model = model


def logged(logs, name) -> float:
    """Returns a number of an epoch's logs, that of the validation if there is one; NaN if there is none."""
    return float(logs.get(f"val_{name}", logs.get(name, np.nan)))


class Annealed(Method):
    """A method with a target share, or one per decided unit, that callbacks.AnnealTarget brings down.

    The target in force is a non-trainable variable: saved with the model, seen by compiled graphs when it changes.
    """

    _floor = np.float32(0.0)

    def _add_target(self, name, final):
        """Makes and returns the variable; `final` is a share or a list of one per decided unit."""
        self._final = np.float32(final)
        self._target = self.add_weight(
            shape=self._final.shape,
            initializer=self._in_force,
            trainable=False,
            name=name,
            autocast=False,
            aggregation="mean",  # of replicas, where a method moves it within a step
        )
        return self._target

    def _in_force(self, shape=None, dtype="float32"):
        """Returns the target in force."""
        return ops.convert_to_tensor(np.maximum(self._final, self._floor), dtype)

    def _per_unit(self, target, expected, these):
        """Returns a target as it is, or of {unit name: share} the list in the decider's order.

        Args:
            target: share, or {unit name: share}.
            expected: what it should have been, for the error.
            these: what the decider's units are, for the error.
        """
        if not isinstance(target, dict):
            return target
        units = list(self.decider.names)
        if sorted(target) != sorted(units):
            raise ValueError(f"{expected}, got {list(target)}; {these} {units}.")
        return [target[name] for name in units]

    @property
    def target_reached(self) -> bool:
        """Whether the targets in force are the final ones."""
        return bool(np.all(self._floor <= self._final)) if self.built else not self._floor

    def over_target(self, logs, tolerance) -> bool:
        """Returns whether an epoch's logs say that more runs than the target; False where they do not tell.

        Args:
            logs: of the epoch, which callbacks get; those of the validation count, if there is one.
            tolerance: by which the share may exceed the target.
        """
        return False

    def set_target_floor(self, floor):
        """Sets the targets in force to the final ones, or to `floor` where that is higher; AnnealTarget calls this.

        Args:
            floor: share of units; of a model that is not built yet it is kept until it is.
        """
        self._floor = np.float32(min(floor, 1.0))
        if self.built:
            self._target.assign(self._in_force())
