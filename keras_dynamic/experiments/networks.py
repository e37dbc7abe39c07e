"""The plain networks that a config's `network` section can name."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_dynamic import zoo
from keras_dynamic.layers import DynamicModel
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

# What keras.applications' weights of its ResNets need; v1.5 is what the papers on dynamic networks have.
_VERSIONS: dict[str, dict[str, Any]] = {
    "v1.5": {},
    "v1": {"stride_on": "first_1x1", "bias": True, "epsilon": 1.001e-5, "momentum": 0.99, "pixels": "caffe"},
}


class _Kind(NamedTuple):
    """What is known of one kind of network.

    Attributes:
        build: function (section) -> DynamicModel, unbuilt, with random weights.
        title: function (section) -> what records call it.
        size: side of its images in pixels, where the section has no `size`.
        load: function (network, path) -> network with the weights of that file.
    """

    build: Callable
    title: Callable
    size: int = 224
    load: Callable = import_keras_applications


def _resnet_cifar(section):
    return resnet_cifar(section.depth, section.num_classes, name=f"resnet{section.depth}")


def _resnet_imagenet(section):
    return resnet_imagenet(tuple(section.stages), section.num_classes)


def _no_weights(network, path):
    raise ValueError(
        f"{network.name!r} starts with random weights here, got network.weights={path!r}; leave it empty, and give a "
        "trained run as start_from, or take another of experiments.networks.NETWORKS."
    )


def _resnet50(section):
    return resnet50(section.num_classes, **_version(section))


def _resnet101(section):
    return resnet101(section.num_classes, **_version(section))


def _version(section):
    version = section.get("version", "v1.5")
    if version not in _VERSIONS:
        known = tuple(_VERSIONS)
        raise ValueError(f"network.version must be one of {known}, got {version!r}{did_you_mean(version, known)}.")
    return _VERSIONS[version]


def _mobilenet_v2(section):
    return mobilenet_v2(section.get("width", 1.0), section.num_classes)


def _densenet_bc(section):
    return densenet_bc(section.depth, section.growth, section.num_classes)


# Arguments of models.msdnet that a section may give; what it leaves out has its default.
_MSDNET = (
    "blocks",
    "base",
    "step",
    "step_mode",
    "channels",
    "growth",
    "growth_factors",
    "bottleneck_factors",
    "bottleneck",
    "prune",
    "reduction",
)


def _msdnet(section):
    options = {key: section[key] for key in _MSDNET if key in section}
    return msdnet(section.num_classes, **options, image_size=section.get("size") or 32)


NETWORKS = {
    "resnet_cifar": _Kind(_resnet_cifar, lambda section: f"ResNet-{section.depth}", 32, import_resnet_cifar),
    "resnet_imagenet": _Kind(
        _resnet_imagenet, lambda section: f"ResNet-{3 * sum(section.stages) + 2}", load=_no_weights
    ),
    "resnet50": _Kind(_resnet50, lambda section: f"ResNet-50 {section.get('version', 'v1.5')}"),
    "resnet101": _Kind(_resnet101, lambda section: f"ResNet-101 {section.get('version', 'v1.5')}"),
    "densenet_bc": _Kind(
        _densenet_bc, lambda section: f"DenseNet-BC-{section.depth}-{section.growth}", 32, import_densenet_bc
    ),
    "msdnet": _Kind(_msdnet, lambda section: f"MSDNet with {section.get('blocks', 5)} exits", 32, _no_weights),
    "mobilenet_v2": _Kind(_mobilenet_v2, lambda section: f"MobileNetV2 {section.get('width', 1.0)}"),
}


def _kind(section) -> _Kind:
    """Returns the row of the table; a section without a name is a bottleneck network if it has stages, or of CIFAR."""
    name = section.get("name") or ("resnet_imagenet" if section.get("stages") else "resnet_cifar")
    if name not in NETWORKS:
        known = tuple(NETWORKS)
        raise ValueError(f"network.name must be one of {known}, got {name!r}{did_you_mean(name, known)}.")
    return NETWORKS[name]


def image_shape(section) -> tuple[int, int, int]:
    """Returns the shape of the images that a config's `network` section takes.

    Args:
        section: a config's `network` section.

    Raises:
        ValueError: if the network's name is unknown.
    """
    size = section.get("size") or _kind(section).size
    return size, size, 3


def title(section) -> str:
    """Returns what records and tables call the network of a config's `network` section, such as 'ResNet-110'.

    Args:
        section: a config's `network` section.

    Raises:
        ValueError: if the network's name is unknown.
    """
    kind = _kind(section)
    size = section.get("size") or kind.size
    return kind.title(section) + (f" at {size} pixels" if size != kind.size else "")


def plain_network(section) -> DynamicModel:
    """Builds the network of a config's `network` section, with the weights that it names.

    Args:
        section: a config's `network` section, see build_network.

    Returns:
        DynamicModel in which everything runs, built.

    Raises:
        ValueError: if the name is unknown, an argument of the network is out of range or the weights are another
            network's.
        FileNotFoundError: if the weights file is missing.
    """
    kind = _kind(section)
    network = kind.build(section)  # says what is wrong with the section's own numbers
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
