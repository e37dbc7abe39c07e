"""The table of networks: what a section builds, what it costs, what it is called, and what it refuses."""

import keras
import ml_collections
import numpy as np
import pytest

from keras_dynamic.experiments import build_network
from keras_dynamic.experiments.networks import NETWORKS, image_shape, title
from keras_dynamic.models import mobilenet_v2, msdnet, resnet_imagenet


def section(**settings):
    return ml_collections.ConfigDict({"num_classes": 3, "weights": "", **settings})


SMALL = {
    "resnet_cifar": {"depth": 8},
    "resnet_imagenet": {"stages": (1, 1), "size": 32},
    "resnet50": {"size": 32},
    "resnet101": {"size": 32},
    "densenet_bc": {"depth": 10, "growth": 4},
    "densenet121": {"size": 32},
    "msdnet": {"blocks": 2, "channels": 4, "growth": 2},
    "mobilenet_v2": {"width": 0.35, "size": 32},
}
LARGE = ("resnet50", "resnet101", "densenet121")  # however small their images


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.ci) if name in LARGE else name for name in NETWORKS]
)
def test_every_kind_is_built_for_its_images(name):
    given = section(name=name, **SMALL[name])
    network = build_network(given)
    assert network.image_shape == (None, *image_shape(given)) == (None, 32, 32, 3)
    assert network(np.zeros((1, 32, 32, 3), np.uint8)).shape == (1, 3)


@pytest.mark.parametrize(
    ("settings", "size", "words"),
    [
        ({"depth": 20}, 32, "ResNet-20"),
        ({"depth": 20, "stages": ()}, 32, "ResNet-20"),
        ({"depth": 32, "stages": (3, 4, 14, 3)}, 224, "ResNet-74"),
        ({"name": "resnet50"}, 224, "ResNet-50 v1.5"),
        ({"name": "resnet101", "version": "v1"}, 224, "ResNet-101 v1"),
        ({"name": "densenet_bc", "depth": 100, "growth": 12}, 32, "DenseNet-BC-100-12"),
        ({"name": "densenet121"}, 224, "DenseNet-121"),
        ({"name": "msdnet", "blocks": 7}, 32, "MSDNet with 7 exits"),
        ({"name": "msdnet", "size": 224}, 224, "MSDNet with 5 exits at 224 pixels"),
        ({"name": "mobilenet_v2", "width": 0.5, "size": 96}, 96, "MobileNetV2 0.5 at 96 pixels"),
    ],
    ids=str,
)
def test_sizes_and_titles(settings, size, words):
    assert image_shape(section(**settings)) == (size, size, 3)
    assert title(section(**settings)) == words


# MACs of the papers: Herrmann et al., S1.4 and Figure 4; He et al. for version 1.
@pytest.mark.ci
@pytest.mark.parametrize(
    ("settings", "low", "high"),
    [
        ({"name": "resnet50"}, 4.03e9, 4.12e9),
        ({"name": "resnet50", "version": "v1"}, 3.8e9, 3.9e9),
        ({"name": "mobilenet_v2"}, 298e6, 302e6),
        ({"name": "mobilenet_v2", "size": 96}, 55e6, 57e6),
    ],
    ids=str,
)
def test_macs_are_those_of_the_papers(settings, low, high):
    network = build_network(section(**{"num_classes": 1000, **settings}))
    assert low <= network.cost_tree.total_macs <= high


def test_weights_of_keras_applications(tmp_path):
    keras.utils.set_random_seed(0)
    source = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=3)
    path = tmp_path / "mobilenet.weights.h5"
    source.save_weights(path)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    network = build_network(section(name="mobilenet_v2", width=0.35, size=32, weights=str(path)))
    expected = source(keras.applications.mobilenet_v2.preprocess_input(images.copy()))
    np.testing.assert_allclose(keras.ops.softmax(network(images)), expected, atol=1e-5)


def test_channel_groups_of_a_mobilenet():
    network = build_network(
        section(name="mobilenet_v2", width=0.35, size=32, granularity={"stage4": 12, "stage6_unit2": 24})
    )
    plain = mobilenet_v2(0.35, 3)
    plain.build((None, 32, 32, 3))
    assert network.cost_tree.total_macs == plain.cost_tree.total_macs
    groups = {name.partition("[")[0] for name in network.chain.group_names}
    assert groups >= {"stage4_unit2", "stage4_unit3", "stage4_unit4", "stage6_unit2"}


def test_options_of_an_msdnet_are_keys():
    options = {"blocks": 3, "base": 2, "step_mode": "even", "channels": 4, "growth": 2, "growth_factors": (1, 2)}
    network = build_network(section(name="msdnet", **options))
    same = msdnet(3, **options)
    same.build((None, 32, 32, 3))
    assert network.cost_tree.total_macs == same.cost_tree.total_macs
    assert network.chain.exit_names == ["exit1", "exit2"]


def test_stages_build_the_network_that_they_say():
    network = build_network(section(stages=(1, 2), size=32))
    same = resnet_imagenet((1, 2), 3)
    same.build((None, 32, 32, 3))
    assert network.cost_tree.total_macs == same.cost_tree.total_macs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "resnet5O"}, r"network\.name must be one of .* got 'resnet5O' \(did you mean 'resnet50'\?\)"),
        ({"name": "resnet50", "version": "1"}, r"network\.version must be one of .*, got '1' \(did you mean 'v1'\?\)"),
        ({"name": "mobilenet_v2", "width": 0}, "width must be a positive number that multiplies the channels, got 0"),
        ({"name": "mobilenet_v2", "width": -0.5}, "width must be a positive number .* got -0.5"),
        (
            {"name": "mobilenet_v2", "weights": "zoo:resnet8_cifar10_45k"},
            "a network of {'depth': 8, 'num_classes': 10}, but the config asks for MobileNetV2 1.0 and 3 classes",
        ),
        ({"name": "msdnet", "blocks": 0}, "blocks must be a positive int, got 0"),
        (
            {"name": "msdnet", "blocks": 1, "weights": "x.h5"},
            r"'msdnet1' starts with random weights here, got .*'x\.h5'; leave it",
        ),
        (
            {"stages": (1, 1), "weights": "x.h5"},
            "'resnet8' starts with random weights here, got network.weights='x.h5'",
        ),
    ],
    ids=str,
)
def test_networks_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build_network(section(**settings))


def test_missing_weights_are_named():
    with pytest.raises(FileNotFoundError, match="nowhere"):
        build_network(section(name="mobilenet_v2", size=32, width=0.35, weights="nowhere/weights.h5"))
