"""The plain networks that a config's `network` section can name."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_dynamic import zoo
from keras_dynamic.layers import DynamicModel
from keras_dynamic.layers.dynamic_model import as_dynamic
from keras_dynamic.messages import did_you_mean
from keras_dynamic.models import (
    densenet_bc,
    import_densenet_bc,
    import_keras_applications,
    import_resnet_cifar,
    mobilenet_v2,
    msdnet,
    resnet50,
    resnet101,
    resnet_cifar,
    resnet_imagenet,
)
from keras_dynamic.models.resnet import pixels_layer
from keras_dynamic.transform import attach_exits, group_channels

# What keras.applications' weights of its ResNets need; v1.5 is what the papers on dynamic networks have.
_VERSIONS: dict[str, dict[str, Any]] = {
    "v1.5": {},
    "v1": {"stride_on": "first_1x1", "bias": True, "epsilon": 1.001e-5, "momentum": 0.99, "pixels": "caffe"},
}


def check_choice(key, value, known):
    """Raises a ValueError unless the value of a config's key, such as 'method.pattern', is among the known ones."""
    if value not in known:
        raise ValueError(f"{key} must be one of {tuple(known)}, got {value!r}{did_you_mean(value, tuple(known))}.")


class _Kind(NamedTuple):
    build: Callable  # (section) -> DynamicModel, unbuilt, with random weights
    title: Callable  # (section) -> what records call it
    size: int = 224  # side of its images in pixels, where the section has no `size`
    load: Callable = import_keras_applications  # (network, path) -> network with the weights of that file


def _version(section):
    version = section.get("version", "v1.5")
    check_choice("network.version", version, _VERSIONS)
    return _VERSIONS[version]


def _no_weights(network, path):
    raise ValueError(
        f"{network.name!r} starts with random weights here, got network.weights={path!r}; leave it empty, and give a "
        "trained run as start_from, or take another of networks.NETWORKS."
    )


def _densenet121(classes, size=224, weights=None):
    """Returns keras.applications' DenseNet121 for pixel values 0 to 255, with the weights of a file."""
    image = keras.Input((size, size, 3))
    pixels = pixels_layer("torch")(image)
    model = keras.applications.DenseNet121(
        weights=weights, input_tensor=pixels, classes=classes, classifier_activation=None, name="densenet121"
    )
    return as_dynamic(keras.Model(image, model.output, name="densenet121"), copy=False)


# Arguments of models.msdnet that a section may give; what it leaves out has its default.
_MSDNET = (
    "blocks base step step_mode channels growth growth_factors bottleneck_factors bottleneck prune reduction".split()
)


def _msdnet(section):
    options = {key: section[key] for key in _MSDNET if key in section}
    return msdnet(section.num_classes, **options, image_size=section.get("size") or 32)


NETWORKS = {
    "resnet_cifar": _Kind(
        lambda section: resnet_cifar(section.depth, section.num_classes, name=f"resnet{section.depth}"),
        lambda section: f"ResNet-{section.depth}",
        32,
        import_resnet_cifar,
    ),
    "resnet_imagenet": _Kind(
        lambda section: resnet_imagenet(tuple(section.stages), section.num_classes),
        lambda section: f"ResNet-{3 * sum(section.stages) + 2}",
        load=_no_weights,
    ),
    "resnet50": _Kind(
        lambda section: resnet50(section.num_classes, **_version(section)),
        lambda section: f"ResNet-50 {section.get('version', 'v1.5')}",
    ),
    "resnet101": _Kind(
        lambda section: resnet101(section.num_classes, **_version(section)),
        lambda section: f"ResNet-101 {section.get('version', 'v1.5')}",
    ),
    "densenet_bc": _Kind(
        lambda section: densenet_bc(section.depth, section.growth, section.num_classes),
        lambda section: f"DenseNet-BC-{section.depth}-{section.growth}",
        32,
        import_densenet_bc,
    ),
    "densenet121": _Kind(
        lambda section: _densenet121(section.num_classes, section.get("size") or 224),
        lambda section: "DenseNet-121",
        load=lambda network, path: _densenet121(network.classes, network.image_shape[1], path),
    ),
    "msdnet": _Kind(_msdnet, lambda section: f"MSDNet with {section.get('blocks', 5)} exits", 32, _no_weights),
    "mobilenet_v2": _Kind(
        lambda section: mobilenet_v2(section.get("width", 1.0), section.num_classes),
        lambda section: f"MobileNetV2 {section.get('width', 1.0)}",
    ),
}


def _kind(section) -> _Kind:
    """Returns the row of the table; a section without a name is a bottleneck network if it has stages, or of CIFAR."""
    name = section.get("name") or ("resnet_imagenet" if section.get("stages") else "resnet_cifar")
    check_choice("network.name", name, NETWORKS)
    return NETWORKS[name]


def image_shape(section) -> tuple[int, int, int]:
    """Returns the shape (height, width, channels) of the images that a config's `network` section takes."""
    size = section.get("size") or _kind(section).size
    return size, size, 3


def title(section) -> str:
    """Returns what records and tables call the network of a config's `network` section, such as 'ResNet-110'."""
    kind = _kind(section)
    size = section.get("size") or kind.size
    return kind.title(section) + (f" at {size} pixels" if size != kind.size else "")


def build_network(section) -> DynamicModel:
    """Builds the plain network that a config's `network` section names.

    Args:
        section: with num_classes, weights ('' for random ones, a path in which environment variables are expanded, or
            'zoo:NAME') and, by the network's name, one of NETWORKS: depth of 'resnet_cifar', which a section without
            name is; stages of 'resnet_imagenet', units of each stage of a bottleneck network; version of 'resnet50' and
            'resnet101', 'v1.5' or 'v1', whose weights keras.applications has; width of 'mobilenet_v2'; depth and growth
            of 'densenet_bc'; of 'msdnet' those arguments of models.msdnet that differ from its defaults. Perhaps with
            size, the side of the images in pixels, and granularity (filters per channel group, an int or {unit or
            stage: int}, see transform.group_channels), or exits (names of the units after which they stand),
            exit_filters (one number or one for each), exit_copies and frozen, see transform.attach_exits.

    Returns:
        DynamicModel in which everything runs, built.

    Raises:
        ValueError: if the name or a version is unknown, an argument of the network is out of range or the weights are
            another network's.
        FileNotFoundError: if the weights file is missing.
    """
    network, granularity = _plain_network(section), section.get("granularity")
    if granularity:
        network = group_channels(network, granularity if isinstance(granularity, int) else dict(granularity))
    if section.get("exits"):
        copies, frozen = list(section.get("exit_copies", ())), section.get("frozen", False)
        return attach_exits(network, list(section.exits), section.get("exit_filters", 64), copies, frozen)
    return network


def _plain_network(section):
    """Builds the network without channel groups and attached exits."""
    kind = _kind(section)
    network = kind.build(section)  # raises for the section's own numbers first
    if section.weights.startswith("zoo:"):
        return _of_the_zoo(section, section.weights.removeprefix("zoo:"))
    network.build((None, *image_shape(section)))
    return kind.load(network, os.path.expandvars(section.weights)) if section.weights else network


def _of_the_zoo(section, name):
    """Returns a network of the zoo, which must be what the section asks for."""
    row = zoo.describe(name)["network"]
    of_its_kind = _kind(section) is NETWORKS["resnet_cifar"]
    if not of_its_kind or row != {"depth": section.depth, "num_classes": section.num_classes}:
        asked = f"depth {section.depth}" if of_its_kind else title(section)
        raise ValueError(
            f"{section.weights!r} is a network of {row}, but the config asks for {asked} and {section.num_classes} "
            "classes; change network.weights, or the network."
        )
    return zoo.load(name)
