"""Small networks in front of a large one, trained on its logits, for a cascade."""

import contextlib
import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from keras_dynamic.callbacks import RequireFiniteLoss
from keras_dynamic.cost import tree
from keras_dynamic.data import as_arrays, random_crop_flip
from keras_dynamic.files import read_arrays, read_json, replacing, write_json
from keras_dynamic.layers import Chain, DynamicModel, NormalizePixels
from keras_dynamic.layers.logits_end import logits_model
from keras_dynamic.losses import distillation
from keras_dynamic.messages import check_fraction, check_number, is_count
from keras_dynamic.models.resnet import convolution, residual_units
from keras_dynamic.ops import batch_losses, check_images, right_answers, task_of_loss

# By units a stage: least width, and whether the first stage has the size of the stem's output.
_KINDS = {1: (8, False), 2: (8, False), 3: (16, True), 4: (16, True), 5: (16, True), 6: (16, True)}
_WIDEST = 128
_LEAST = 4  # side of the last feature map, in pixels
_TOGETHER = 8  # images that are augmented by one random generator
_TEACHING = 256  # images at a time
_FEW_STEPS = 300


def front_network(input_shape, logits, limit, cost=None, stem=(), name="front"):
    """Returns a small residual network of 3x3 convolutions, as large as a limit allows, not trained.

    Channels double as sizes halve, and are in eights: in an int8 file a multiply-add of such a network takes half or a
    third of the time of one in a network of depthwise convolutions. Of one or two units a stage, the first stage halves
    the size already, so that most of the work is done on small maps of many channels; larger networks, such as middle
    ones of a cascade, begin with a stage of full size.

    Args:
        input_shape: (height, width, channels) of images.
        logits: number of logits.
        limit: what the network may cost at most.
        cost: function from a built network to its cost, such as milliseconds of its .tflite; None for MACs.
        stem: layers before the first convolution.
        name: of the network.

    Returns:
        DynamicModel in which everything runs, built. Of all widths and depths within the limit it is the one of most
        MACs.

    Raises:
        ValueError: if images are smaller than 8 pixels, or even the smallest network costs more than the limit.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < 2 * _LEAST:
        raise ValueError(
            f"a front network is made for images [height, width, channels] of at least {2 * _LEAST} pixels, got inputs "
            f"of shape {list(input_shape)}; give a small network of your own: network=..."
        )
    cost = _macs if cost is None else cost
    largest, size, least = 0, (0, 0), np.inf
    for depth, (narrowest, _) in _KINDS.items():
        for width in range(narrowest, _WIDEST + 1, 8):
            copies = [type(layer).from_config(layer.get_config()) for layer in stem]
            made = _network(input_shape, logits, width, depth, copies, name)
            spent = cost(made)
            least = min(least, spent)
            if spent > limit:
                break
            if _macs(made) > largest:
                largest, size = _macs(made), (width, depth)
    if not largest:
        raise ValueError(f"the smallest front network costs {least:,.6g}, over the limit of {limit:,.6g}; raise it.")
    return _network(input_shape, logits, *size, stem, name)


def _macs(network):
    return tree(network).total_macs


def _projection(channels, stride):
    """Returns a shortcut that XNNPACK takes with the rest in int8, which pools of stride 2 are not."""
    return keras.Sequential(convolution(channels, 1, stride))


def _network(input_shape, logits, width, depth, stem, name):
    size = min(input_shape[:2])
    stride = 1 if size < 64 else 2 if size < 160 else 4
    stages = max(1, round(np.log2(size / stride / _LEAST)))
    first = [*convolution(width, 3, min(stride, 2)), layers.ReLU()]
    if stride == 4:
        first.append(layers.MaxPooling2D(2))
    counts = (depth,) * stages if _KINDS[depth][1] else (0, *(depth,) * stages)
    units = residual_units(counts, width, "basic", _projection)
    head = [layers.GlobalAveragePooling2D(), layers.Dense(logits)]
    made = DynamicModel(Chain([*stem, *first], units, head), name=name)
    made.build((None, *input_shape))
    return made


def distil_front(
    model,
    x,
    y=None,
    share=0.2,
    network=None,
    cost=None,
    epochs=30,
    views=4,
    augment: Callable | None = random_crop_flip,
    batch_size=128,
    learning_rate=0.2,
    temperature=4.0,
    label_weight=0.1,
    seed=0,
    folder=None,
    verbose="auto",
):
    """Trains a small network to answer as a large one does, to run before it in a cascade.

        front, middle = kd.models.distil_front(large, x, y, share=(0.2, 0.6))
        model = kd.models.cascade([front, middle, large])

    The large network's logits of a few augmented views of each image are computed once; from then on an epoch costs the
    small network alone. The loss is (1 - label_weight) T^2 KL(large || small) + label_weight times that of the labels.

    Args:
        model: trained functional, sequential or dynamic Keras model; a softmax or sigmoid at its end is taken off.
        x: training images, [n, height, width, channels], or a data set of such and their labels.
        y: labels, see ops.right_answers; None to learn from the large network alone.
        share: of the large network's cost, in (0, 1), that the small one may have; several for several networks.
        network: in place of one that is made for the share: a built Keras model of yours, which ends in logits.
        cost: function from a built network to its cost, such as milliseconds of its .tflite; None for MACs.
        epochs: passes over the images.
        views: augmented versions of each image, which take turns.
        augment: function (images, numpy random generator) -> images; None for none, with one view.
        batch_size: images at a time, a multiple of 8.
        learning_rate: the highest, of SGD with momentum, which rises in the first tenth and falls to 0 as a cosine.
        temperature: T, which divides the logits.
        label_weight: in [0, 1]; without labels it is 0.
        seed: of weights, views and order.
        folder: where the large network's logits and each epoch's state are kept, so that the same call goes on after an
            interruption and returns at once when all is done; None keeps nothing.
        verbose: of fit.

    Returns:
        The small network, built and trained, named after the large one; a list of them if `share` is one.

    Raises:
        ValueError: if shares are not in (0, 1), images or labels are not what the large network takes, no network is
            small enough, numbers of logits differ, or the folder holds another distillation.
        FloatingPointError: if the loss is no finite number any more.

    Source: Hinton et al. 2015 (arXiv 1503.02531).
    """
    teacher = logits_model(model)
    several = isinstance(share, (list, tuple)) and network is None
    shares = [check_number("share", each, positive=True) for each in (share if several else [share])]
    if max(shares) >= 1:
        raise ValueError(f"share must be over 0 and under 1, of the large network's cost, got {share!r}.")
    check_number("temperature", temperature, positive=True)
    views = views if augment else 1
    if not is_count(epochs) or not is_count(views) or not is_count(batch_size) or batch_size % _TOGETHER:
        raise ValueError(
            f"epochs and views must be at least 1 and batch_size a multiple of {_TOGETHER}, got {epochs!r}, {views!r} "
            f"and {batch_size!r}."
        )
    x, y = as_arrays(x, y)
    check_images(x)
    shape = teacher.compute_output_spec(keras.KerasTensor((None, *x.shape[1:]))).shape
    task = task_of_loss(getattr(model, "loss", None), shape[-1])
    if y is not None:
        y = right_answers(y, (len(x), *shape[1:]), task)
    if network is not None:
        _check_own(network, x.shape[1:], shape[1:])
        small = [network]
    else:
        small = _made(teacher, x, shape[-1], shares, cost, seed)
    weight = 0.0 if y is None else check_fraction("label_weight", label_weight)
    loss = _Taught(task, shape[-1], float(temperature), weight)
    taught = _Views(x, y, augment, views, batch_size, seed)
    settings = {"images": list(x.shape), "views": views, "epochs": epochs, "seed": seed, "teacher": _macs(teacher)}
    steps = epochs * len(taught)
    if steps < _FEW_STEPS:
        warnings.warn(
            f"{epochs} epochs of {len(x):,} inputs are {steps} steps, too few to learn from: some thousand are usual; "
            "raise epochs.",
            stacklevel=2,
        )
    with contextlib.ExitStack() as stack:
        kept = Path(stack.enter_context(tempfile.TemporaryDirectory()) if folder is None else folder)
        _check_folder(kept, {**settings, "networks": [_macs(each) for each in small]})
        taught.logits = _kept_logits(kept / "logits.npy", taught, teacher, verbose)
        trained = []
        for number, each in enumerate(small):
            keras.utils.set_random_seed(seed)
            trained.append(
                _trained(each, taught, loss, epochs, learning_rate, kept / f"network{number}.keras", verbose)
            )
    return trained if several else trained[0]


def _check_folder(folder, settings):
    """Notes the settings in the folder, or raises a ValueError if it has others."""
    folder.mkdir(parents=True, exist_ok=True)
    noted = folder / "distillation.json"
    if noted.exists() and (held := read_json(noted, "empty its folder")) != settings:
        raise ValueError(
            f"folder {str(folder)!r} holds another distillation, {json.dumps(held)}, got {json.dumps(settings)}; give "
            "another folder, or empty it."
        )
    write_json(noted, settings)


def _kept_logits(path, taught, teacher, verbose):
    """Returns the large network's logits, read from a file if they have been computed before."""
    if not path.exists():
        logits = taught.answers_of(teacher, verbose)
        with replacing(path) as temporary:
            np.save(temporary, logits)
    return read_arrays(path, "empty its folder", of_npy="logits")["logits"]


def _check_own(network, inputs, logits):
    """Raises a ValueError if a user's small network does not fit."""
    small = logits_model(network, functions=())
    found = tuple(small.compute_output_spec(keras.KerasTensor((None, *inputs))).shape[1:])
    if found != tuple(logits):
        raise ValueError(
            f"network {network.name!r} must return logits [batch, {', '.join(map(str, logits))}], as the large one "
            f"does, got [batch, {', '.join(map(str, found))}]."
        )


def _made(teacher, x, logits, shares, cost, seed):
    """Returns a network for each share."""
    cost = _macs if cost is None else cost
    keras.utils.set_random_seed(seed)
    whole, found = cost(teacher), []
    for share in shares:
        name = f"{teacher.name}_{round(100 * share)}"
        found.append(front_network(x.shape[1:], logits, share * whole, cost, _normalising(x), name))
    return found


def _normalising(x):
    """Returns a layer that normalises pixel values, if these are 0 to 255; data of other ranges stay."""
    some = np.asarray(x[:: max(1, len(x) // 1000)], np.float32)
    if some.ndim != 4 or some.min() < 0 or some.max() > 255 or some.max() <= 2:
        return []
    axes = (0, 1, 2)
    return [NormalizePixels(some.mean(axes) / 255, np.maximum(some.std(axes), 1) / 255)]


class _Views(keras.utils.PyDataset):
    """Batches of one epoch: views of images, and beside each the large network's logits and the label.

    Images that lie together, eight of them, are augmented together, by a generator that depends on the seed, the view
    and their place alone: so the view of which the logits are kept is made again, and need not be kept.
    """

    def __init__(self, x, y, augment, views, batch_size, seed):
        super().__init__()
        self.augment, self.views, self.batch_size, self.seed = augment, views, batch_size, seed
        order = np.random.default_rng(seed).permutation(len(x))
        self.x, self.order = x, order
        self.y = None if y is None else y[order]
        self.logits: np.ndarray = np.zeros(0)  # [views, n, ..., logits]
        self.epoch = 0

    def __len__(self):
        return -(-len(self.x) // self.batch_size)

    def groups(self):
        """Returns the number of groups of images that are augmented together."""
        return -(-len(self.x) // _TOGETHER)

    def view(self, group, view):
        """Returns the rows of a group, and its images under one view."""
        rows = np.arange(group * _TOGETHER, min(len(self.x), (group + 1) * _TOGETHER))
        images = self.x[self.order[rows]]
        if self.augment is not None:
            images = self.augment(images, np.random.default_rng([self.seed, view, group]))
        return rows, images

    def __getitem__(self, index):
        drawn = np.random.default_rng([self.seed, self.epoch])
        groups, first = drawn.permutation(self.groups()), drawn.integers(self.views, size=self.groups())
        size = self.batch_size // _TOGETHER
        images, targets = [], []
        for group in groups[index * size : (index + 1) * size]:
            view = first[group]
            rows, some = self.view(group, view)
            images.append(some)
            logits = self.logits[view, rows].astype(np.float32)
            columns = [] if self.y is None else [self.y[rows].reshape(*logits.shape[:-1], -1).astype(np.float32)]
            targets.append(np.concatenate([logits, *columns], axis=-1))
        return np.concatenate(images), np.concatenate(targets)

    def answers_of(self, teacher, verbose):
        """Returns the large network's logits of every view, float16 [views, n, ..., logits]."""
        bar = keras.utils.Progbar(
            self.views * self.groups(), unit_name="group", verbose=1 if verbose == "auto" else int(verbose)
        )
        found = []
        at_once = _TEACHING // _TOGETHER
        for view in range(self.views):
            parts = []
            for start in range(0, self.groups(), at_once):
                groups = range(start, min(self.groups(), start + at_once))
                images = np.concatenate([self.view(group, view)[1] for group in groups])
                parts.append(keras.ops.convert_to_numpy(teacher.predict_on_batch(images)))
                bar.add(len(groups))
            found.append(np.concatenate(parts))
        largest = np.finfo(np.float16).max
        return np.clip(found, -largest, largest).astype(np.float16)


@keras.saving.register_keras_serializable("keras_dynamic")
class _Taught(keras.losses.Loss):
    """The loss of distil_front; targets [batch, ..., logits + label columns]."""

    def __init__(self, task, logits, temperature, label_weight, name="taught"):
        super().__init__(name=name)
        self.task, self.logits, self.temperature, self.label_weight = task, logits, temperature, label_weight

    def call(self, targets, found):
        weight, teacher, labels = self.label_weight, targets[..., : self.logits], targets[..., self.logits :]
        loss = (1 - weight) * distillation(found, teacher, self.temperature, task=self.task)
        return loss + weight * ops.mean(batch_losses(labels, found, self.task)) if weight else loss

    def get_config(self):
        names = ("task", "logits", "temperature", "label_weight", "name")
        return {name: getattr(self, name) for name in names}


def _trained(network, taught, loss, epochs, learning_rate, path, verbose):
    """Returns the network, trained for as many epochs as are left; each leaves its state beside `path`."""
    if path.exists():
        return keras.models.load_model(path)
    steps = len(taught)
    warm = max(1, epochs * steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / 10, max(1, epochs * steps - warm), warmup_target=learning_rate, warmup_steps=warm
    )
    # Keras' weight decay does not pass through the momentum: 5e-3 is what 5e-4 is elsewhere.
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=5e-3)
    network.compile(optimizer, loss)
    begun = path.with_suffix(".begun.keras")
    if begun.exists():
        network = keras.models.load_model(begun)
    for epoch in range(int(network.optimizer.iterations) // steps, epochs):
        taught.epoch = epoch
        network.fit(
            taught,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=verbose,
            callbacks=[RequireFiniteLoss()],
        )
        with replacing(begun) as temporary:
            network.save(temporary)
    begun.rename(path)
    return network
