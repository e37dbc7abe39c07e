"""One run of a config: its data, its networks, its batches and its optimizer."""

import functools

import keras

from keras_dynamic import data
from keras_dynamic.experiments import networks
from keras_dynamic.experiments.networks import check_choice
from keras_dynamic.experiments.recipes import RECIPES
from keras_dynamic.experiments.run_record import RunRecord
from keras_dynamic.experiments.settings import check_training
from keras_dynamic.experiments.splits import check_fit, load_splits

_NOT_TRAINED = ("job", "label", "evaluation", "targets")  # sections of a config that change nothing in the training


class Run:
    """What a config describes, read once; networks are built when they are first needed.

    Args:
        config: ml_collections ConfigDict, see configs/.
        splits: Splits of the data; None where only networks are needed.
        workdir: folder of the run; None where nothing is kept.

    Attributes:
        recipe: module of experiments.recipes, that of the config's method.
        record: RunRecord of the folder, or None.

    Raises:
        ValueError: if the method is unknown, a number of the config cannot be, or the folder holds the run of another
            config.
    """

    def __init__(self, config, splits=None, workdir=None):
        check_choice("method.name", config.method.name, RECIPES)
        check_training(config)
        self.config, self.splits, self.recipe = config, splits, RECIPES[config.method.name]
        settings = {key: value for key, value in config.to_dict().items() if key not in _NOT_TRAINED}
        self.record = None if workdir is None else RunRecord(workdir, settings)
        self._macs_static = None

    @classmethod
    def load(cls, config, workdir=None, data_dir=None):
        """Makes a run and loads its data.

        Args:
            config: ml_collections ConfigDict, see configs/.
            workdir: folder of the run.
            data_dir: folder of the data set, None for sets that ship or lie in the usual place.

        Raises:
            ValueError: if the folder holds another config's run, or network and data do not fit together.
            FileNotFoundError: if the data is not there.
        """
        run = cls(config, workdir=workdir)
        run.splits = load_splits(config.data, data_dir)
        check_fit(run.splits, config)
        return run

    def network(self):
        """Builds the plain network that the config names; see networks.build_network."""
        network = networks.build_network(self.config.network)
        self._macs_static = network.cost_tree.without_exits().total_macs
        return network

    @functools.cached_property
    def reference(self):
        """A plain network that is not trained, beside the one inside of the model."""
        return self.network()

    @property
    def teacher(self):
        """The network to distil from: the reference, or None if the method does not distil."""
        weight = self.config.method.distillation_weight
        if weight and not self.config.network.weights:
            raise ValueError(
                f"method.distillation_weight is {weight}, but there is no trained network to distil from; give "
                "network.weights, or a weight of 0."
            )
        return self.reference if weight else None

    @functools.cached_property
    def model(self):
        """The method's DynamicModel, built; `train` puts the trained one in its place."""
        model = self.recipe.build(self)
        model.build((None, *networks.image_shape(self.config.network)))
        return model

    def rebuild(self):
        """Builds the model, and the reference where it is needed, a second time.

        Returns:
            The new model.
        """
        for name in ("model", "reference"):
            self.__dict__.pop(name, None)
        return self.model

    @property
    def macs_static(self) -> int:
        """MACs of the plain network without its exits."""
        return self._macs_static or self.reference.cost_tree.without_exits().total_macs

    @property
    def title(self) -> str:
        """What tables call the model, such as 'Gated ResNet-32'."""
        return f"{self.recipe.names(self.config.method)[1]} {networks.title(self.config.network)}"

    @property
    def images_per_epoch(self) -> int:
        """Number of training images."""
        train = self.splits.train
        return len(train if isinstance(train, data.ImageStream) else train[0])

    def batches(self, epoch=0):
        """Returns data.Batches, or data.StreamBatches, of the training images, augmented as the config says.

        Args:
            epoch: whose order and augmentation they have at first.
        """
        train, size, augmented = self.splits.train, self.config.batch_size, self.config.data.augment
        if isinstance(train, data.ImageStream):
            return data.StreamBatches(train, size, augmented, self.config.seed, epoch)
        augment = data.random_crop_flip if augmented else None
        x, y = train
        return data.Batches(x, y, size, augment, seed=self.config.seed, epoch=epoch)

    def reestimation_batches(self):
        """Returns augmented training batches for batch norm, config.reestimate_images in all; None if these are 0."""
        if not self.config.reestimate_images:
            return None
        batches = self.batches(epoch=self.config.epochs)
        count = max(1, self.config.reestimate_images // self.config.batch_size)
        return [batches[index] for index in range(min(count, len(batches)))]

    def compile(self, model, optimizer):
        """Compiles a model for the data's labels, class numbers."""
        model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        )

    def optimizer(self, steps_per_epoch):
        """Returns the optimizer of the config's `optimizer` section, on the schedule that it names.

        The section has name ('sgd', with momentum and nesterov, or 'adam'), learning_rate (the peak) and schedule:
        'one_cycle' (linear warm-up over `warm_up` of the steps, then cosine to 0), 'steps' (times `decay` after each of
        the `boundaries`, in epochs) or 'constant'.

        Args:
            steps_per_epoch: batches per epoch.
        """
        config, steps = self.config.optimizer, steps_per_epoch * self.config.epochs
        rate = config.learning_rate
        if config.schedule == "one_cycle":
            warm_up = int(config.warm_up * steps)
            warming = {"warmup_target": rate, "warmup_steps": warm_up} if warm_up else {}
            rate = keras.optimizers.schedules.CosineDecay(0.0 if warm_up else rate, steps - warm_up, **warming)
        elif config.schedule == "steps":
            boundaries = [int(epoch * steps_per_epoch) for epoch in config.boundaries]
            values = [rate * config.decay**power for power in range(len(boundaries) + 1)]
            rate = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, values)
        if config.name == "adam":
            return keras.optimizers.Adam(rate)
        return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=config.nesterov)
