"""DynamicModel: the keras.Model of a chain and a decider."""

import contextlib
import contextvars
import tempfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_dynamic import keras_hooks
from keras_dynamic.cost import expected, register
from keras_dynamic.data.collect import input_shape_of
from keras_dynamic.layers.chain import Chain, several_inputs
from keras_dynamic.layers.decider import Always, Decider
from keras_dynamic.layers.forward import Outcome, masked
from keras_dynamic.layers.functional import from_functional
from keras_dynamic.layers.saved_arguments import SavedArguments
from keras_dynamic.messages import did_you_mean
from keras_dynamic.ops import TASKS, check_images, check_targets, task_of_loss
from keras_dynamic.ops.tasks import loss_name, only_loss


@contextlib.contextmanager
def dtype_policy_scope(policy):
    """Sets the dtype policy of layers made in this context, unless they are given another.

    Args:
        policy: keras.dtype_policies.DTypePolicy, or its name.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


_in_step: contextvars.ContextVar[keras.Model | None] = contextvars.ContextVar("in_step", default=None)


@contextlib.contextmanager
def _step_of(model):
    """Marks the model whose train or test step is being traced: only that model's call returns an Outcome."""
    token = _in_step.set(model)
    try:
        yield
    finally:
        _in_step.reset(token)


@keras.saving.register_keras_serializable("keras_dynamic")
class DynamicModel(SavedArguments, keras_hooks.AcrossWorkers):
    """A network that decides per image how much of itself to run.

    model(image) gives logits, so compile(loss=..., metrics=...), fit, evaluate and predict are ordinary Keras. While
    fit and evaluate trace a step, the model returns the whole Outcome; `compute_loss` passes its logits to the
    compiled loss and adds `outcome_losses`, the one method that subclasses override.

    The progress bar shows, besides what was compiled, activation_rate (mean over decisions; 1 if there are none) and
    macs_millions (mean MACs per image, in millions). Both are those of inference: of a training step, what inference
    would decide by the probabilities of that step (Decider.inferred), not what was sampled to train on.

    Args:
        chain: Chain; or a functional or sequential Keras model, of which models.from_functional makes one.
        decider: Decider; Always() by default.
        task: what the logits are for, one of ops.TASKS; None for what the compiled loss is for, if that is one of
            Keras' or tells it by its name.
        **kwargs: of keras.Model.

    Raises:
        ValueError: if chain or decider are of other types, or a Keras model cannot be made a chain.
    """

    task_weight = 1.0  # of the compiled loss in training

    def __init__(self, chain, decider=None, task=None, **kwargs):
        super().__init__(**kwargs)
        decider = Always() if decider is None else decider
        chain = as_chain(chain)
        if task is not None and task not in TASKS:
            raise ValueError(f"task must be one of {TASKS} or None, got {task!r}{did_you_mean(task, TASKS)}.")
        self._task = task
        if not isinstance(chain, Chain) or not isinstance(decider, Decider):
            raise ValueError(
                "DynamicModel takes a Chain, or a functional or sequential Keras model, and a Decider, got "
                f"{type(chain).__name__} and {type(decider).__name__}; of a dynamic model give its chain."
            )
        self.chain, self.decider = chain, decider
        self._rate_tracker = keras.metrics.Mean(name="activation_rate")
        self._macs_tracker = keras.metrics.Mean(name="macs_millions")

    def build(self, image_shape):
        """Builds the model; if it is built already, checks that images of this shape fit it.

        Args:
            image_shape: [batch, height, width, channels].

        Raises:
            ValueError: if it was built for images of another size.
        """
        if self.built:
            self._check_size(image_shape or ())
        else:
            self.prepare(image_shape)

    def prepare(self, image_shape):
        """Builds the chain, and the decider for it; methods make here what else they need."""
        if not self.chain.built:
            self.chain.build(image_shape)
        self.decider.bind(self.chain)

    @property
    def transferable(self) -> dict:
        """Layers with weights that a further training, of this method or another, takes over, by their role."""
        return {"chain": self.chain, "decider": self.decider}

    @property
    def new_layers(self) -> list:
        """Layers of `transferable` that keep their initial weights if the source model lacks them; none by default."""
        return []

    @property
    def image_shape(self):
        """Shape of the image, [batch, height, width, channels], or None before the model is built."""
        return tuple(self.chain.image_spec.shape) if self.chain.built else None

    @property
    def classes(self) -> int:
        """Number of logits per image, once the model is built."""
        self._check_built("the number of classes")
        return self.chain.logits_specs[-1].shape[-1]

    @property
    def logits_shape(self):
        """Shape of the logits, [batch, ..., classes], once the model is built."""
        self._check_built("the shape of the logits")
        return tuple(self.chain.logits_specs[-1].shape)

    @property
    def task(self) -> str:
        """What the logits are for, one of ops.TASKS: as given, by the confidence that stops images, or by the loss."""
        if self._task is not None:
            return self._task
        names = {self.decider.confidence_of(name) for name in self.decider.confidence_names} if self.built else set()
        if "label_probability" in names:
            return "labels"
        return task_of_loss(getattr(self, "loss", None), self.classes if self.built else 1)

    def get_config(self):
        """Returns the arguments, with the task that the compiled loss is for."""
        return {**super().get_config(), "task": self.task if getattr(self, "loss", None) else self._task}

    def compile(self, optimizer="rmsprop", loss=None, *args, metrics=None, **kwargs):
        """Configures the training, as keras.Model.compile.

        With a binary cross entropy the metric 'accuracy' compares logits with 0, where Keras' would take 0.5.

        Raises:
            ValueError: if the loss is a cross entropy of probabilities, as the model returns logits.
        """
        name = loss_name(loss)
        if "crossentropy" in name and _takes_probabilities(loss):
            raise ValueError(
                f"model {self.name!r} returns logits, but the loss {loss if isinstance(loss, str) else name!r} takes "
                "probabilities; give it from_logits=True, such as "
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
            )
        if "binary" in name and isinstance(metrics, (list, tuple)):
            metrics = [_of_logits(metric) for metric in metrics]
        super().compile(optimizer, loss, *args, metrics=metrics, **kwargs)

    def compile_from_config(self, config):
        """Compiles a loaded model as it was saved; Keras does so only of models without a compile of their own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    @property
    def decision_names(self):
        """Names of all decisions in execution order, nested ones after the unit they are in."""
        self._check_built("decision_names")
        return self.decider.decision_names

    @property
    def cost_tree(self):
        """keras_dynamic.cost.Node of the whole model."""
        self._check_built("cost_tree")
        return self.decider.tree

    def call(self, image, training=None):
        """Returns logits, float32 [batch, classes], for image [batch, height, width, channels]."""
        executor = self.executor(training)
        outcome = self.outcome(image, training=self._layers_train(training), executor=executor, deciding=training)
        return outcome if _in_step.get() is self else outcome.logits

    def executor(self, training):
        """Returns the executor of units and exits in calls; the masked one, unless a method has its own."""
        return masked

    def _layers_train(self, training):
        """Returns whether layers run in training mode while the decider does; False if a method freezes them."""
        return training

    def outcome(self, image, decisions=None, training=None, executor=masked, deciding=None) -> Outcome:
        """Runs the network and returns the Outcome: logits, decisions and cost.

        Args:
            image: float or uint8 array or tensor, [batch, height, width, channels].
            decisions: {decision name: 0/1 array [batch]} that replace the decider's, one for each decision_names.
            training: whether layers run in training mode.
            executor: the executor of units; the masked one by default.
            deciding: whether the decider runs in training mode; as the layers do, by default.

        Raises:
            ValueError: if decisions have wrong names or shapes, or images another size than those it was built for.
        """
        parts = image if isinstance(image, (dict, list, tuple)) else ()
        if isinstance(image, dict) or len({getattr(part, "shape", ()) for part in parts}) > 1:
            raise several_inputs(len(parts))
        image = ops.convert_to_tensor(image)
        if not self.built:
            self.build((None, *image.shape[1:]))
        self._check_size(image.shape)
        if decisions is not None:
            decisions = self._checked(decisions, image.shape[0])
        return self.chain(
            image, self.decider, decisions=decisions, training=training, executor=executor, deciding=deciding
        )

    def _check_size(self, shape):
        built_for = self.image_shape
        if len(shape) != len(built_for) or any(
            known is not None and size not in (None, known)
            for known, size in zip(built_for[1:], shape[1:], strict=True)
        ):
            sizes = ", ".join(map(str, built_for[1:]))
            raise ValueError(
                f"model {self.name!r} was built for images [batch, {sizes}], on which its cost depends, got shape "
                f"{tuple(shape)}; resize the images, or build a model for them."
            )

    def _checked(self, decisions, batch):
        known = self.decision_names
        for name in decisions:
            if name not in known:
                raise ValueError(
                    f"decisions name {name!r}, which this model does not decide{did_you_mean(name, known)}; "
                    f"it decides {known}."
                )
        missing = [name for name in known if name not in decisions]
        if missing:
            raise ValueError(f"decisions must name every decision of the model, {missing} are missing.")
        checked = {name: ops.cast(ops.convert_to_tensor(value), "float32") for name, value in decisions.items()}
        for name, value in checked.items():
            if len(value.shape) != 1 or (batch is not None and value.shape[0] not in (None, batch)):
                raise ValueError(f"decision {name!r} must have shape [batch] = [{batch}], got {tuple(value.shape)}.")
        return checked

    @property
    def input_shape(self):
        """Shape of the input, [batch, ...], or None before the model is built."""
        return self.image_shape

    def fit(self, x=None, y=None, *args, **kwargs):
        """Trains, as keras.Model.fit; builds the model first, where x shows its shape, for callbacks that need that.

        Raises:
            ValueError: if arrays hold NaN or infinity, or targets that the compiled loss, if it is one of Keras', does
                not take.
        """
        shape = None if self.built else input_shape_of(x)
        if shape is not None and None not in shape[1:]:
            strategy = getattr(self, "distribute_strategy", None)
            with strategy.scope() if strategy else contextlib.nullcontext():
                self.build(shape)
        validation = kwargs.get("validation_data")
        self._check_data(x, y)
        if isinstance(validation, (list, tuple)) and len(validation) > 1:
            self._check_data(*validation[:2])
        return super().fit(x, y, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """Returns logits, as keras.Model.predict.

        Raises:
            ValueError: if an array holds NaN or infinity, of which compiled layers may make a class like any other.
        """
        if isinstance(x, np.ndarray):
            check_images(x)
        return super().predict(x, *args, **kwargs)

    def _check_data(self, x, y):
        """Raises a ValueError if arrays to train on are not finite, or not what the loss takes."""
        if isinstance(x, np.ndarray):
            check_images(x)
        loss = getattr(self, "loss", None)
        of_keras = isinstance(loss, keras.losses.Loss) and type(loss).__module__.startswith("keras.")
        if isinstance(y, np.ndarray) and self.built and (of_keras or isinstance(loss, str)):
            check_targets(y, (len(y), *self.logits_shape[1:]), self.task)

    def outcome_losses(self, x, y, outcome, sample_weight=None) -> dict:
        """Returns {name: scalar tensor}, losses that are added to the compiled one; methods override this.

        Args:
            x: images of the batch.
            y: labels of the batch.
            outcome: the whole Outcome, gradients attached.
            sample_weight: float tensor [batch], to which Keras has turned class weights; None for 1 each. Losses on
                logits are multiplied by it image by image, those on decisions and cost are not.
        """
        return {}

    def compiled_loss(self, y, logits, sample_weight=None):
        """Returns the compiled loss of further logits for the same images, e.g. an exit's, to be one of outcome_losses.

        Args:
            y: labels of the batch.
            logits: float tensor, [batch, classes].
            sample_weight: float tensor [batch], or None.

        Returns:
            Scalar tensor.

        Raises:
            ValueError: if the model was compiled without a loss.
        """
        loss = keras_hooks.compiled_loss(self)
        if loss is None:
            raise ValueError(
                f"model {self.name!r} applies the compiled loss to several logits, but has none; give it one, "
                "model.compile(optimizer, loss)."
            )
        # compute_loss divides what it adds by the number of replicas, as Keras has done here already.
        strategy = getattr(self, "distribute_strategy", None)
        replicas = strategy.num_replicas_in_sync if strategy else 1
        return replicas * loss(y, logits, sample_weight)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Adds outcome_losses to the compiled loss on the logits."""
        if not isinstance(y_pred, Outcome):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        loss = super().compute_loss(x, y, y_pred.logits, sample_weight, training)
        if not training:
            return loss
        loss = self.task_weight * loss
        further = self.outcome_losses(x, y, y_pred, sample_weight).values()
        return sum((keras_hooks.per_replica(self, each) for each in further), loss)

    @property
    def metrics(self):
        """Metrics of this model and its layers; those of models inside have the same names and measure nothing here."""
        parts = keras_hooks.all_layers(self, include_self=False)
        of_models = {id(metric) for part in parts if isinstance(part, keras.Model) for metric in part.metrics}
        layers = [part for part in parts if not isinstance(part, keras.Model)]
        of_layers = {id(metric) for layer in layers for metric in keras_hooks.own_metrics(layer)}
        return [metric for metric in super().metrics if id(metric) not in of_models - of_layers]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates the compiled metrics, activation_rate and macs_millions."""
        if isinstance(y_pred, Outcome):
            decisions, cost = y_pred.decisions, y_pred.cost
            if y_pred.inferred:
                decisions, cost = y_pred.inferred, expected(self.decider.tree, y_pred.inferred_conditional)
            rates = [ops.mean(decision) for decision in decisions.values()]
            self._rate_tracker.update_state(ops.stack(rates) if rates else 1.0)
            self._macs_tracker.update_state(cost * (self.decider.tree.total_macs / 1e6))
            y_pred = y_pred.logits
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def train_step(self, *args, **kwargs):
        """Runs the backend's train step on whole outcomes."""
        with _step_of(self):
            return super().train_step(*args, **kwargs)

    def test_step(self, *args, **kwargs):
        """Runs the backend's test step on whole outcomes."""
        with _step_of(self):
            return super().test_step(*args, **kwargs)

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Exports the model as Keras does, with everything computed; for a .tflite that skips, see lite.export.

        Args:
            filepath: where to write.
            format: as in Keras, but for 'litert'.
            **kwargs: as in Keras.

        Raises:
            ValueError: if the format is 'litert'.
        """
        if format == "litert":
            raise ValueError(
                "Keras' export to 'litert' computes everything, whatever is decided; write the bytes of "
                "keras_dynamic.lite.export(model) to a file, in which what is skipped is not computed."
            )
        super().export(filepath, format=format, **kwargs)

    def _check_built(self, what):
        if not self.decider.bound and self.chain.built:
            self.build(self.image_shape)  # another model has built the chain that they share
        if not self.decider.bound:
            raise ValueError(
                f"{what} of model {self.name!r} is known once it is built; call it on a batch of images first."
            )

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuilds the model from get_config()."""
        return super().from_config(config)


def _takes_probabilities(loss) -> bool:
    """Returns whether a cross entropy of Keras is one of probabilities."""
    loss = only_loss(loss)
    if isinstance(loss, keras.losses.Loss):
        return getattr(loss, "from_logits", None) is False
    return isinstance(loss, str) or loss in _CROSS_ENTROPIES


_CROSS_ENTROPIES = (
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.sparse_categorical_crossentropy,
)


def _of_logits(metric):
    """Returns the metric, in place of the name of an accuracy that of logits."""
    named = isinstance(metric, str) and metric in ("accuracy", "acc", "binary_accuracy")
    return keras.metrics.BinaryAccuracy(metric, threshold=0.0) if named else metric


def as_chain(chain):
    """Returns the chain of a functional or sequential Keras model, and anything else as it is."""
    functional = isinstance(chain, keras.Model) and not isinstance(chain, DynamicModel)
    return from_functional(chain) if functional else chain


def as_dynamic(network, copy=True):
    """Returns a functional or sequential Keras model as a built DynamicModel in which everything runs.

    Args:
        network: any network; a DynamicModel, or what is no keras.Model, is returned as it is.
        copy: as of from_functional.

    Raises:
        ValueError: as from_functional.
    """
    if not isinstance(network, keras.Model) or isinstance(network, DynamicModel):
        return network
    model = DynamicModel(from_functional(network, copy), name=network.name, dtype=network.dtype_policy)
    model.build(model.image_shape)
    return model


def saved_copy(model):
    """Returns a copy of a built model, not compiled.

    It is saved and loaded, which copies states other than weights too, such as those of seed generators.

    Raises:
        TypeError: of Keras, if a layer's class is not registered, so that it cannot be loaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.keras"
        model.save(path)
        return keras.models.load_model(path, compile=False, safe_mode=False)  # the file is our own


@register(DynamicModel)
def _cost(model, inputs):
    if not model.decider.bound:
        model.build((None, *inputs.shape[1:]))
    return model.cost_tree._replace(name=model.name)
