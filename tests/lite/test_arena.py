"""Plans of memory, by hand and against TensorFlow Lite Micro's own figures."""

import re

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.convert import simplify
from keras_dynamic.lite.micro import native_output

SIZE, CHANNELS = 16, 8
MAP = SIZE * SIZE * CHANNELS  # bytes of an int8 feature map


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3)).astype(np.uint8)


def files(units=2):
    """Returns an int8 file without decisions and one of the same network with gates."""
    keras.utils.set_random_seed(0)
    bodies = [[keras.layers.Conv2D(CHANNELS, 3, padding="same", activation="relu") for _ in "ab"] for _ in range(units)]
    chain = layers.Chain(
        [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(CHANNELS, 3, padding="same")],
        [layers.Residual(body, None, "relu", name=f"unit{k + 1}") for k, body in enumerate(bodies)],
        [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)],
    )
    models = layers.DynamicModel(chain), layers.DynamicModel(chain, deciders.PerUnitGates(hidden=2))
    for model in models:
        model.build((None, SIZE, SIZE, 3))
    return [lite.export(model, "int8", images(40)) for model in models]


@pytest.fixture(scope="module")
def both():
    return files()


def runtime_bytes(content):
    """Returns what TensorFlow Lite Micro itself says that its tensors take."""
    runtime = pytest.importorskip("tflite_micro").runtime
    config = runtime.InterpreterConfig.kAllocationRecording
    made = runtime.Interpreter.from_bytes(content, arena_size=2**20, intrepreter_config=config)
    with native_output() as output:
        made.print_allocations()
    return int(re.search(r"allocation head (\d+) bytes", output.getvalue())[1])


def test_a_condition_holds_a_map_twice_unless_planned(both):
    """At a unit's second convolution there are the unit's input and what both convolutions make; outside are the IF's
    operand and result, and the condition, of 16 bytes with the padding. The first of equals is the peak. With a plan
    what is outside is what is inside, and once the condition has been read its place is free.
    """
    _, gated = both
    own, planned = lite.tensor_arena(gated), lite.tensor_arena(lite.plan_arena(gated))
    assert own.peak == "unit1"
    assert own.decisions == {"unit1": 5 * MAP + 16, "unit2": 5 * MAP + 16}
    assert own.bytes == 5 * MAP + 16
    assert planned.bytes == 3 * MAP
    assert planned.decisions == {"unit1": 3 * MAP, "unit2": 3 * MAP}


def test_it_is_what_the_runtime_takes(both):
    for content in (*both, *map(lite.plan_arena, both)):
        assert lite.tensor_arena(content).bytes == runtime_bytes(content)


@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("name", ["units", "exits", "leaves", "locked"])
def test_answers_stay_and_figures_are_the_runtime_s(example, name, int8):
    pytest.importorskip("tflite_micro")
    made = example(name, int8)
    content = simplify(made.outlined)
    planned = lite.plan_arena(content)
    one, other = lite.MicroInterpreter(content), lite.MicroInterpreter(planned)
    for image in made.images[:12]:
        for own, wanted in zip(other.run(image, raw=True).values(), one.run(image, raw=True).values(), strict=True):
            np.testing.assert_array_equal(own, wanted)
    for each in (content, planned):
        assert lite.tensor_arena(each).bytes == runtime_bytes(each)
    assert lite.tensor_arena(planned).bytes <= lite.tensor_arena(content).bytes


def test_litert_ignores_a_plan(both):
    (image,) = images(1)
    one, other = (lite.Interpreter(each).run(image, raw=True)["logits"] for each in (both[1], lite.plan_arena(both[1])))
    np.testing.assert_array_equal(one, other)


def test_verify_says_it(both):
    _, gated = both
    assert lite.verify(gated).tensors == lite.tensor_arena(gated)
    assert lite.verify(lite.plan_arena(gated)).tensors.bytes == 3 * MAP


def test_a_changed_file_has_no_plan(both):
    planned = lite.plan_arena(both[1])
    assert flatbuffer.load(planned).plan is not None
    assert lite.plan_arena(planned) == planned
    changed = lite.write_metadata(planned, lite.read_metadata(planned))
    assert flatbuffer.load(changed).plan is None
    assert lite.tensor_arena(changed) == lite.tensor_arena(both[1])


def test_what_has_no_plan_is_refused(both):
    model = flatbuffer.load(both[1])
    model.subgraphs[0].tensors[0].shapeSignature = [-1, SIZE, SIZE, 3]
    with pytest.raises(ValueError, match=r"of which the run decides a part"):
        lite.plan_arena(flatbuffer.pack(model))
    model = flatbuffer.load(both[1])
    model.subgraphs.append(model.subgraphs[1])
    for function in (lite.plan_arena, lite.tensor_arena):
        with pytest.raises(ValueError, match="must be used 1 times, is used 0 times"):
            function(flatbuffer.pack(model))
    model = flatbuffer.load(both[1])
    flatbuffer.set_metadata_entry(model, flatbuffer.PLAN, np.zeros(4, np.int32).tobytes())
    with pytest.raises(ValueError, match="its plan of memory does not place each of its tensors"):
        lite.tensor_arena(flatbuffer.pack(model))
