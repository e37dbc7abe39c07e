"""Weights of keras.applications: equal outputs after the transfer, from models and files; errors."""

import keras
import numpy as np
import pytest
from keras.applications import MobileNetV2, ResNet50, mobilenet_v2, resnet50

from keras_dynamic import models

VERSION_1 = {"stride_on": "first_1x1", "bias": True, "epsilon": 1.001e-5, "momentum": 0.99, "pixels": "caffe"}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype("float32")
TOP = {"weights": None, "classes": 10, "input_shape": (64, 64, 3), "classifier_activation": None}


def lively(model):
    """Gives biases, scales and statistics other values than a new model's, and kernels with which images matter."""
    rng = np.random.default_rng(1)
    low_high = {"gamma": (0.5, 1.5), "moving_variance": (0.5, 1.5), "beta": (-0.5, 0.5), "bias": (-0.5, 0.5)}
    for variable in model.weights:
        kind = variable.path.rpartition("/")[2]
        if kind == "kernel":
            variable.assign(rng.normal(0, np.sqrt(2 / np.prod(variable.shape[:-1])), variable.shape))
        else:
            variable.assign(rng.uniform(*low_high.get(kind, (-0.5, 0.5)), variable.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):  # Keras' initial ones are so small that nothing comes out
            layer.kernel.assign(rng.normal(0, np.sqrt(2 / 9), layer.kernel.shape))
    return model


@pytest.fixture(scope="module")
def resnet():
    return lively(ResNet50(**TOP))


@pytest.fixture(scope="module")
def mobile():
    return lively(MobileNetV2(alpha=0.35, **TOP))


def assert_equal_logits(network, images, wanted):
    wanted = keras.ops.convert_to_numpy(wanted)
    np.testing.assert_allclose(network(images), wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    assert np.ptp(wanted, axis=0).max() > 0.01 * np.abs(wanted).max()  # images differ, so equal answers say something


@pytest.mark.ci
def test_resnet50_gives_the_same_logits(resnet):
    network = models.import_keras_applications(models.resnet50(10, **VERSION_1), resnet)
    assert_equal_logits(network, IMAGES.astype("uint8"), resnet(resnet50.preprocess_input(IMAGES.copy())))


@pytest.mark.parametrize(("alpha", "size"), [pytest.param(1.0, 96, marks=pytest.mark.ci), (0.35, 65)])
def test_mobilenet_v2_gives_the_same_logits(alpha, size):
    model = lively(MobileNetV2(alpha=alpha, **{**TOP, "input_shape": (size, size, 3)}))
    dark = np.random.default_rng(2).integers(0, 64, (3, size, size, 3))
    images = (dark * np.array([1, 2, 3])[:, None, None, None]).astype("float32")
    network = models.import_keras_applications(models.mobilenet_v2(alpha, 10), model)
    assert network.image_shape == (None, size, size, 3)
    assert_equal_logits(network, images.astype("uint8"), model(mobilenet_v2.preprocess_input(images.copy())))


@pytest.mark.parametrize("ending", [".weights.h5", ".keras", ".h5"])
def test_files_of_keras(ending, mobile, tmp_path):
    path = tmp_path / f"mobile{ending}"
    (mobile.save_weights if "weights" in ending else mobile.save)(path)
    network = models.mobilenet_v2(0.35, 10)
    network.build((None, 64, 64, 3))
    assert models.import_keras_applications(network, path) is network
    assert_equal_logits(network, IMAGES, mobile(mobilenet_v2.preprocess_input(IMAGES.copy())))


def test_a_model_without_classifier_leaves_ours(mobile):
    bare = MobileNetV2(alpha=0.35, weights=None, include_top=False)
    network = models.mobilenet_v2(0.35, 4)
    network.build((None, 64, 64, 3))
    before = network.chain.head.layers[-1].get_weights()
    models.import_keras_applications(network, bare)
    for old, new in zip(before, network.chain.head.layers[-1].get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    first = network.chain.stem.layers[1].get_weights()[0]
    np.testing.assert_array_equal(first, bare.get_layer("Conv1").get_weights()[0])


@pytest.fixture
def refused():
    """Function (network, source, message, mode=None): the import raises, and nothing is loaded."""

    def check(network, source, message, mode=None):
        if not network.built:
            network.build((None, 64, 64, 3))
        before = network.get_weights()
        with pytest.raises(ValueError, match=message):
            models.import_keras_applications(network, source, mode)
        for old, new in zip(before, network.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)

    return check


BUILD = r"; build it with stride_on='first_1x1', bias=True, epsilon=1\.001e-5, momentum=0\.99, pixels='caffe'\."


@pytest.mark.ci
@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"stride_on": "3x3"}, "with its strides in the 3x3"),
        ({"bias": False}, "with no biases"),
        ({"epsilon": 1e-5}, "with another epsilon"),
        ({"stride_on": "3x3", "bias": False, "epsilon": 1e-5}, "its strides in the 3x3, no biases, another epsilon"),
    ],
)
def test_the_other_version_of_resnet_is_refused(change, found, resnet, refused):
    message = f"are of keras.applications' version 1 of ResNet, and 'mine' is another, .*{found}{BUILD}"
    refused(models.resnet50(10, **{**VERSION_1, **change}, name="mine"), resnet, message)


@pytest.mark.ci
def test_another_depth_is_refused(resnet, refused):
    short = models.resnet_imagenet((3, 4, 5, 3), 10, **VERSION_1, name="short")
    refused(short, resnet, r"do not fit 'short': extra layers conv4_block6_1_conv, .* and 3 more; give those of the")
    long = models.resnet_imagenet((3, 4, 7, 3), 10, **VERSION_1, name="long")
    refused(
        long, resnet, r"do not fit 'long': missing layers conv4_block7_1_conv, .* and 3 more; give those of the same "
    )


@pytest.mark.ci
def test_another_network_is_refused(resnet, mobile, refused):
    network = models.mobilenet_v2(0.35, 10, "mine")
    refused(
        network, resnet, r"'mine': missing layers Conv1, .*; extra layers conv1_conv, .* more; give those of the same"
    )
    for other in (models.resnet_cifar(8), models.resnet_imagenet((1, 1), 10, "basic", 4)):
        refused(other, mobile, f"imported into a resnet50, resnet101 or mobilenet_v2, and '{other.name}' is none")


def test_other_widths_and_classes_are_refused(mobile, refused):
    message = r"layer 'bn_Conv1' of the weights has shapes .*, and 'mine' needs .*; build it with the width and classes"
    refused(models.mobilenet_v2(1.0, 10, "mine"), mobile, message.replace("bn_Conv1", "Conv1"))
    refused(models.mobilenet_v2(0.35, 4, "mine"), mobile, message.replace("bn_Conv1", "predictions"))


def test_other_pixels_are_refused(mobile, refused):
    message = "trained on pixels of mode 'tf', and the stem of 'mine' starts with {}; build it with pixels='tf', or"
    network = models.mobilenet_v2(0.35, 10, "mine", pixels="torch")
    refused(network, mobile, message.format("'torch'"))
    refused(network, mobile, "mode must be one of .*, got 'pytorch' .did you mean 'torch'", mode="pytorch")
    models.import_keras_applications(network, mobile, mode="torch")
    own = models.mobilenet_v2(0.35, 10, "mine", pixels=keras.layers.Rescaling(1 / 255))
    refused(own, mobile, message.format("'Rescaling'"))


@pytest.mark.parametrize("ending", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("kind", ["text", pytest.param("empty", marks=pytest.mark.ci), "truncated"])
def test_a_wrong_file_is_named(kind, ending, mobile, refused, tmp_path):
    path = tmp_path / f"wrong{ending}"
    (mobile.save_weights if "weights" in ending else mobile.save)(path)
    content = {"text": b"not weights", "empty": b"", "truncated": path.read_bytes()[: path.stat().st_size // 2]}[kind]
    path.write_bytes(content)
    refused(models.mobilenet_v2(0.35, 10), path, r"wrong\..* is not a readable Keras file of weights \(.*; give a ")


def test_no_file_and_no_weights(mobile, tmp_path):
    network = models.mobilenet_v2(0.35, 10)
    with pytest.raises(FileNotFoundError, match=r"no weights file at .*gone\.h5; give the path of a \.weights\.h5"):
        models.import_keras_applications(network, tmp_path / "gone.h5")
    with pytest.raises(ValueError, match="weights come from a Keras model or the path of its file, got int 3; give"):
        models.import_keras_applications(network, 3)
    with pytest.raises(ValueError, match=r"mobilenet_v2, got Functional .*; give the network first, then the weights"):
        models.import_keras_applications(mobile, network)
    assert not network.built
