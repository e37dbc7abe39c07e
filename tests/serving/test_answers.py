"""What a network answers: logits, decisions and exact MACs, as a function and as a SavedModel that stands alone."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_dynamic.cost import given
from keras_dynamic.deciders import CombinedDecider, Confidence, PerUnitGates
from keras_dynamic.evaluation import exit_answers
from keras_dynamic.layers import DynamicModel
from keras_dynamic.ops import quantile_thresholds
from keras_dynamic.serving import answers, compact, export_saved_model
from tests.evaluation.exits import with_gates


@pytest.fixture
def model(toy_chain, toy_images, spread_gates):
    """Gates and exits: of 16 images some stop at each place, and each gate is open for some of them."""
    images, gates = toy_images(16), PerUnitGates()
    found = with_gates(toy_chain, CombinedDecider([gates, Confidence()]))
    found.build((None, 8, 8, 3))
    confidences = exit_answers(found, images).confidences
    found.decider.deciders[1].set_thresholds(quantile_thresholds(confidences, [2 / 3, 1 / 2]) - 1e-4)
    return found


def check(model, images, found):
    outcome = model.outcome(images)
    decisions = {name: np.asarray(value) for name, value in outcome.decisions.items()}
    np.testing.assert_allclose(found["logits"], outcome.logits, atol=1e-5)
    np.testing.assert_array_equal(found["decisions"], np.stack([decisions[name] for name in model.decision_names], 1))
    np.testing.assert_array_equal(found["macs"], np.broadcast_to(given(model.cost_tree, decisions), len(images)))
    assert [found[name].dtype for name in ("logits", "decisions", "macs")] == [np.float32, np.uint8, np.int64]


def test_arrays(model, toy_images):
    images = toy_images(16)
    found = answers(model)(images)
    check(model, images, found)
    assert len(np.unique(found["macs"])) > 2
    check(model, images[:5].astype("float32"), answers(model)(images[:5].astype("float32")))


def test_what_decides_nothing_costs_all_images_the_same(toy_chain, toy_images):
    plain = DynamicModel(toy_chain())
    plain.build((None, 8, 8, 3))
    found = answers(plain)(toy_images(3))
    assert found["decisions"].shape == (3, 0)
    assert found["macs"].tolist() == [plain.cost_tree.total_macs] * 3


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((2, 9, 8, 3)), r"takes inputs of shape \[8, 8, 3\], got \[9, 8, 3\]"),
        (np.zeros((0, 8, 8, 3)), "got none"),
        (np.full((2, 8, 8, 3), np.nan), "finite numbers, got NaN or infinity in image 0 of 2"),
    ],
)
def test_other_images_are_refused(model, images, words):
    with pytest.raises(ValueError, match=words):
        answers(model)(images)


def test_a_saved_model_takes_batches_of_any_size(model, toy_images, tmp_path):
    import tensorflow as tf

    assert export_saved_model(model, tmp_path / "saved", input_type="uint8") == tmp_path / "saved"
    serve = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    for count in (1, 7, 16):
        images = toy_images(count)
        check(model, images, {name: value.numpy() for name, value in serve(images=tf.constant(images)).items()})


def test_a_saved_model_skips(toy_chain, toy_images, tmp_path):
    """A unit that cannot run without a failure is in the file, and does no harm where no image needs it."""
    import tensorflow as tf

    class Failing(layers.Layer):
        def call(self, x):
            with tf.control_dependencies([tf.debugging.assert_less(tf.reduce_sum(x), -1e30)]):
                return tf.identity(x)

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, dtype=x.dtype)

    from keras_dynamic.cost import register

    register(Failing)(lambda layer, inputs: 0)
    chain = toy_chain(units=2)
    chain.units[1].body.add(Failing())
    model = DynamicModel(chain, PerUnitGates())
    model.build((None, 8, 8, 3))
    gates = model.decider.gates.values()
    images = toy_images(4)
    export(model, gates, [0, -100], tmp_path / "closed")(images=tf.constant(images, tf.float32))
    open_ = export(model, gates, [0, 100], tmp_path / "open")
    with pytest.raises(tf.errors.InvalidArgumentError):
        open_(images=tf.constant(images, tf.float32))


def export(model, gates, biases, path):
    import tensorflow as tf

    for gate in gates:
        gate.kernel.assign(keras.ops.zeros_like(gate.kernel))
        gate.bias.assign(biases)
    export_saved_model(model, path)
    return tf.saved_model.load(str(path)).signatures["serving_default"]


_ALONE = """
import sys
import numpy as np, tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
np.save(sys.argv[3], serve(images=tf.constant(np.load(sys.argv[2])))["logits"].numpy())
assert not any(name.startswith("keras_dynamic") for name in sys.modules)
"""


@pytest.mark.ci
def test_a_saved_model_needs_nothing_of_this_package(model, toy_images, tmp_path):
    images = toy_images(6).astype("float32")
    np.save(tmp_path / "images.npy", images)
    paths = [str(export_saved_model(model, tmp_path / "saved")), *(str(tmp_path / f"{n}.npy") for n in ("images", "y"))]
    subprocess.run([sys.executable, "-c", _ALONE, *paths], check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), compact(model)(images).logits, atol=1e-5)


def test_what_is_not_written(model, tmp_path):
    with pytest.raises(ValueError, match=r"input_type must be one of .*, got 'int8' "):
        export_saved_model(model, tmp_path / "saved", input_type="int8")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(OSError, match="taken"):
        export_saved_model(model, tmp_path / "taken")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
