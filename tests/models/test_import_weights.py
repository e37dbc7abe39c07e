"""Importing .npz weights: every array in its place, and every wrong file named."""

import keras
import numpy as np
import pytest

from keras_dynamic.models import densenet_bc, import_densenet_bc, import_resnet_cifar, resnet_cifar


def arrays_for(depth=8, width=4, classes=3, seed=0):
    """Random arrays in PyTorch's layout and naming."""
    rng = np.random.default_rng(seed)
    arrays = {}

    def pair(convolution, norm, outputs, inputs):
        arrays[f"{convolution}.weight"] = rng.normal(size=(outputs, inputs, 3, 3)).astype(np.float32)
        for name in ("weight", "bias", "running_mean"):
            arrays[f"{norm}.{name}"] = rng.normal(size=outputs).astype(np.float32)
        arrays[f"{norm}.running_var"] = rng.uniform(0.5, 2, outputs).astype(np.float32)

    pair("conv1", "bn1", width, 3)
    inputs = width
    for stage in (1, 2, 3):
        outputs = width * 2 ** (stage - 1)
        for unit in range((depth - 2) // 6):
            pair(f"layer{stage}.{unit}.conv1", f"layer{stage}.{unit}.bn1", outputs, inputs)
            pair(f"layer{stage}.{unit}.conv2", f"layer{stage}.{unit}.bn2", outputs, outputs)
            inputs = outputs
    arrays["linear.weight"] = rng.normal(size=(classes, inputs)).astype(np.float32)
    arrays["linear.bias"] = rng.normal(size=classes).astype(np.float32)
    return arrays


def by_hand(arrays, image):
    """The network in NumPy, one image at a time, from the description of the layout."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def convolve(x, kernel, stride=1):
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
        return np.einsum("ihwyx,oiyx->ohw", windows, kernel)

    def normalise(x, name):
        scale, bias, centre, variance = (
            arrays[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - centre) / np.sqrt(variance + 1e-5) * scale + bias

    x = ((image / 255 - mean) / deviation).transpose(2, 0, 1)
    x = np.maximum(normalise(convolve(x, arrays["conv1.weight"]), "bn1"), 0)
    for stage in (1, 2, 3):
        unit = 0
        while (name := f"layer{stage}.{unit}") + ".conv1.weight" in arrays:
            stride = 2 if stage > 1 and unit == 0 else 1
            y = np.maximum(normalise(convolve(x, arrays[f"{name}.conv1.weight"], stride), f"{name}.bn1"), 0)
            y = normalise(convolve(y, arrays[f"{name}.conv2.weight"]), f"{name}.bn2")
            extra = (len(y) - len(x)) // 2
            x = np.maximum(np.pad(x[:, ::stride, ::stride], ((extra, extra), (0, 0), (0, 0))) + y, 0)
            unit += 1
    return arrays["linear.weight"] @ x.mean(axis=(1, 2)) + arrays["linear.bias"]


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    network = resnet_cifar(8, num_classes=3, width=4, name="small")
    network.build((None, 32, 32, 3))
    return network


@pytest.fixture
def write(tmp_path):
    def to_file(arrays, name="weights.npz"):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return to_file


@pytest.mark.parametrize("depth", [8, 14])
def test_the_imported_network_is_the_one_in_numpy(depth, write):
    arrays = arrays_for(depth)
    network = import_resnet_cifar(resnet_cifar(depth, num_classes=3, width=4), write(arrays))
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    wanted = np.stack([by_hand(arrays, image) for image in images])
    np.testing.assert_allclose(network(images), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def without(arrays, *names):
    return {name: value for name, value in arrays.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: without(a, "layer2.0.bn1.bias"), r"does not fit 'small': missing arrays layer2\.0\.bn1\.bias;"),
        (lambda a: {**a, "fc.bias": a["linear.bias"]}, r"does not fit 'small': extra arrays fc\.bias;"),
        (
            lambda a: {**without(a, "linear.bias"), "fc.bias": a["linear.bias"]},
            r"missing arrays linear\.bias; extra arrays fc\.bias; build the model with the depth of the file",
        ),
        (
            lambda a: arrays_for(14),
            r"extra arrays layer1\.1\.conv1\.weight, .* and \d+ more; build the model with the depth",
        ),
        (
            lambda a: {**a, "linear.weight": np.zeros((5, 16), np.float32)},
            r"array 'linear\.weight' has shape \(5, 16\), and the model needs \(3, 16\); build .* width and classes",
        ),
        (
            lambda a: {**a, "conv1.weight": np.zeros((4, 3, 5, 5), np.float32)},
            r"array 'conv1\.weight' has shape \(4, 3, 5, 5\), and the model needs \(4, 3, 3, 3\)",
        ),
        (
            lambda a: {**a, "conv1.weight": np.zeros(4, np.float32)},
            r"array 'conv1\.weight' has shape \(4,\), and the model needs \(4, 3, 3, 3\)",
        ),
        (
            lambda a: arrays_for(8, width=8),
            r"array 'conv1\.weight' has shape \(8, 3, 3, 3\), and the model needs \(4, 3",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(change, message, model, write):
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        import_resnet_cifar(model, write(change(arrays_for())))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def spoil(kind, path, arrays):
    """Writes a file of some wrong kind."""
    np.savez_compressed(path, **arrays)
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "corrupt":
        path.write_bytes(content[:300] + bytes(200) + content[500:])
    elif kind == "text":
        path.write_text("not weights")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "one array":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "pickled":
        np.savez(path, **{**arrays, "linear.bias": np.array([{}, None, 1], dtype=object)})


@pytest.mark.parametrize("kind", ["truncated", "corrupt", "text", "empty", "one array", "pickled"])
def test_a_wrong_file_is_named_and_nothing_is_loaded(kind, model, tmp_path):
    path = tmp_path / "weights.npz"
    spoil(kind, path, arrays_for())
    before = model.get_weights()
    with pytest.raises(
        ValueError, match=r"Expected .*weights\.npz to be an \.npz file of plain arrays, got .*written by numpy\.savez"
    ):
        import_resnet_cifar(model, path)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("kind", ["text", "complex", "bool"])
def test_an_array_of_no_numbers_is_named(kind, model, tmp_path):
    arrays = arrays_for()
    wrong = {"text": "U3", "complex": np.complex64, "bool": bool}[kind]
    np.savez(tmp_path / "weights.npz", **{**arrays, "linear.bias": arrays["linear.bias"].astype(wrong)})
    with pytest.raises(ValueError, match=r"weights\.npz: array 'linear\.bias' must hold numbers, got"):
        import_resnet_cifar(model, tmp_path / "weights.npz")


def test_a_missing_file_is_an_error(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file at .*nowhere\.npz; give the path of an \.npz file"):
        import_resnet_cifar(model, tmp_path / "nowhere.npz")


def test_other_networks_are_refused(write, toy_chain):
    from keras_dynamic.layers import DynamicModel

    deep = resnet_cifar(11, num_classes=3, width=4, block="bottleneck", name="deep")
    other = DynamicModel(toy_chain(), name="other")
    other.build((None, 8, 8, 3))
    for network in (deep, other):
        with pytest.raises(ValueError, match=f"into a resnet_cifar of basic blocks, and '{network.name}' is none"):
            import_resnet_cifar(network, write(arrays_for()))


def dense_arrays(growth=4, classes=3, seed=0):
    """Random arrays of a DenseNet-BC with one unit per block, in PyTorch's layout and naming."""
    rng = np.random.default_rng(seed)
    arrays = {}

    def kernel(name, outputs, inputs, side):
        arrays[f"{name}.weight"] = rng.normal(size=(outputs, inputs, side, side)).astype(np.float32)

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean"):
            arrays[f"{name}.{part}"] = rng.normal(size=channels).astype(np.float32)
        arrays[f"{name}.running_var"] = rng.uniform(0.5, 2, channels).astype(np.float32)

    channels = 2 * growth
    kernel("conv1", channels, 3, 3)
    for block in (1, 2, 3):
        if block > 1:
            norm(f"trans{block - 1}.bn", channels)
            kernel(f"trans{block - 1}.conv", channels // 2, channels, 1)
            channels //= 2
        norm(f"dense{block}.0.bn1", channels)
        kernel(f"dense{block}.0.conv1", 4 * growth, channels, 1)
        norm(f"dense{block}.0.bn2", 4 * growth)
        kernel(f"dense{block}.0.conv2", growth, 4 * growth, 3)
        channels += growth
    norm("bn", channels)
    arrays["linear.weight"] = rng.normal(size=(classes, channels)).astype(np.float32)
    arrays["linear.bias"] = rng.normal(size=classes).astype(np.float32)
    return arrays


def dense_by_hand(arrays, image):
    """The network in NumPy, one image at a time, from the description of the layout."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def convolve(x, name):
        kernel = arrays[f"{name}.weight"]
        side = kernel.shape[-1]
        padded = np.pad(x, ((0, 0), (side // 2, side // 2), (side // 2, side // 2)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
        return np.einsum("ihwyx,oiyx->ohw", windows, kernel)

    def activate(x, name):
        scale, bias, centre, variance = (
            arrays[f"{name}.{part}"][:, None, None] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return np.maximum((x - centre) / np.sqrt(variance + 1e-5) * scale + bias, 0)

    x = convolve(((image / 255 - mean) / deviation).transpose(2, 0, 1), "conv1")
    for block in (1, 2, 3):
        if block > 1:
            x = convolve(activate(x, f"trans{block - 1}.bn"), f"trans{block - 1}.conv")
            x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).mean(axis=(2, 4))
        y = convolve(activate(x, f"dense{block}.0.bn1"), f"dense{block}.0.conv1")
        x = np.concatenate([x, convolve(activate(y, f"dense{block}.0.bn2"), f"dense{block}.0.conv2")])
    return arrays["linear.weight"] @ activate(x, "bn").mean(axis=(1, 2)) + arrays["linear.bias"]


def test_the_imported_dense_network_is_the_one_in_numpy(write):
    arrays = dense_arrays()
    network = import_densenet_bc(densenet_bc(10, growth=4, num_classes=3), write(arrays))
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    wanted = np.stack([dense_by_hand(arrays, image) for image in images])
    np.testing.assert_allclose(network(images), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def test_dense_arrays_that_do_not_fit_are_named(write):
    network = densenet_bc(10, growth=4, num_classes=3, name="dense")
    with pytest.raises(ValueError, match=r"does not fit 'dense': missing arrays trans1\.bn\.bias; build the model"):
        import_densenet_bc(network, write(without(dense_arrays(), "trans1.bn.bias")))
    with pytest.raises(ValueError, match=r"array 'conv1\.weight' has shape \(12, 3, 3, 3\), and the model needs \(8,"):
        import_densenet_bc(network, write(dense_arrays(growth=6)))


def test_a_dense_network_needs_its_own_importer(model, write):
    with pytest.raises(ValueError, match=r"weights are imported into a densenet_bc, and 'small' is none"):
        import_densenet_bc(model, write(dense_arrays()))
    with pytest.raises(ValueError, match=r"into a resnet_cifar of basic blocks, and 'densenet10' is none"):
        import_resnet_cifar(densenet_bc(10, growth=4), write(arrays_for()))
