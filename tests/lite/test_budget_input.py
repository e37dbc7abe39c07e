"""A budget that a file keeps at run time: no image exceeds it, and each stops at the last exit that it allows."""

import keras
import numpy as np
import pytest

from keras_dynamic import deciders, layers, lite
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.metadata import macs_under, signature_names
from tests.layers import grouped

OUTPUTS = ("logits", "decisions", "macs")
EXITS = ["exit1", "exit2", "exit3"]
UNLIMITED = [np.inf] * 3


def run(interpreter, images, **further):
    found = [interpreter.run(image, **further) for image in images]
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}


def pictures(count):
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def gated():
    """A network of four units, each gated as a whole and by groups of channels, with three exits."""

    def head():
        return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]

    exits = [layers.Exit(head(), f"unit{k}", name=f"exit{k}") for k in (1, 2, 3)]
    return grouped.guarded(pictures(40), 4, exits, [deciders.Confidence()])


def exported(model, int8=False, budget="input", **arguments):
    quantize = "int8" if int8 else None
    return lite.export(model, quantize, pictures(40), OUTPUTS, budget=budget, **arguments)


def most_until(metadata, path, stop):
    """MACs of an image that stops at an exit, given by number, as the exit before knows them: what comes then runs."""
    decided, passed = {}, 0
    for name in metadata["decisions"]:
        if name in EXITS:
            decided[name] = int(passed < stop)
            passed += 1
        else:
            decided[name] = path[name] if passed < stop else 1
    return macs_under(metadata["cost"], decided)


def allowed(metadata, path, budget):
    """The last exit, by number, that an image may reach that takes this path."""
    stop = 0
    while stop < len(EXITS) and most_until(metadata, path, stop + 1) <= budget:
        stop += 1
    return stop


def paths(metadata, decisions):
    return [dict(zip(metadata["decisions"], map(int, row), strict=True)) for row in decisions]


def keeps(content, images, budgets=10, runner=lite.Interpreter, **further):
    """Holds stops and MACs against `allowed` under several budgets; returns at which exits images stopped."""
    interpreter, metadata = runner(content), lite.read_metadata(content)
    columns = [metadata["decisions"].index(name) for name in EXITS]
    whole = run(interpreter, images, **further)
    without = whole["decisions"][:, columns].sum(axis=1)  # where images stop under no budget
    taken = paths(
        metadata, run(interpreter, images, thresholds=UNLIMITED)["decisions"] if further else whole["decisions"]
    )
    unit, least = metadata["macs_unit"], metadata["budget"]["least"]
    seen = []
    for budget in np.linspace(least, macs_under(metadata["cost"], dict.fromkeys(metadata["decisions"], 1)), budgets):
        found = run(interpreter, images, budget=budget, **further)
        stops = found["decisions"][:, columns].sum(axis=1)
        wanted = [min(at, allowed(metadata, path, budget)) for at, path in zip(without, taken, strict=True)]
        np.testing.assert_array_equal(stops, wanted)
        assert found["macs"].max() * unit <= budget
        seen.append(stops)
    return np.stack(seen)


@pytest.mark.parametrize("fold", ["never", pytest.param("auto", marks=pytest.mark.ci)])
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_images_stop_where_their_own_path_ends_the_budget(int8, fold, gated):
    content = exported(gated, int8, fold=fold)
    assert signature_names(flatbuffer.load(content))[0] == ["image", "budget"]
    seen = keeps(content, pictures(40))
    assert (seen[0] == 0).all()
    assert (seen[-1] == 3).all()
    assert any(len(set(row)) > 1 for row in seen)  # under one budget, images that skip more go further
    assert lite.verify(content).decisions == tuple(lite.read_metadata(content)["decisions"])


@pytest.mark.parametrize("int8", [pytest.param(False, marks=pytest.mark.ci), True], ids=["float32", "int8"])
def test_beside_confidence_the_earlier_stop_counts(int8, gated):
    content, images = exported(gated, int8, thresholds="input"), pictures(12)
    assert signature_names(flatbuffer.load(content))[0] == ["image", "budget", "thresholds"]
    for thresholds in ([0.5, 0.7, 0.6], [0.0, 1.0, 1.0]):
        keeps(content, images, 4, thresholds=thresholds)


def test_less_than_the_first_exit_costs(gated):
    content, image = exported(gated), pictures(1)[0]
    interpreter, metadata = lite.Interpreter(content), lite.read_metadata(content)
    found = interpreter.run(image, budget=0)
    path = dict(zip(metadata["decisions"], found["decisions"][0], strict=True))
    assert [path[name] for name in EXITS] == [0, 0, 0]
    assert 0 < found["macs"].item() * metadata["macs_unit"] <= metadata["budget"]["least"]
    for budget in (-1, np.nan, "much", [1, 2]):
        with pytest.raises(ValueError, match="budget must be a number of MACs of at least 0"):
            interpreter.run(image, budget=budget)
    most = interpreter.run(image, budget=np.inf)
    for name, values in interpreter.run(image).items():
        np.testing.assert_array_equal(values, most[name])


@pytest.mark.ci
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_a_budget_in_the_file(int8, gated):
    images, given = pictures(20), exported(gated, int8)
    metadata = lite.read_metadata(given)
    least, whole = metadata["budget"]["least"], macs_under(metadata["cost"], dict.fromkeys(metadata["decisions"], 1))
    budget = least + 0.4 * (whole - least)
    baked = lite.Interpreter(exported(gated, int8, budget=budget))
    assert set(baked.inputs) == {"image"}
    wanted, found = run(lite.Interpreter(given), images, budget=budget), run(baked, images)
    assert found["macs"].max() * metadata["macs_unit"] <= budget
    if not int8:  # scales follow from the images that come to the end
        for name, values in found.items():
            np.testing.assert_array_equal(values, wanted[name])
    with pytest.raises(ValueError, match=f"a budget must be at least {least:,} MACs"):
        exported(gated, int8, budget=least - 1)
    with pytest.raises(ValueError, match="takes no budget as an input"):
        baked.run(images[0], budget=budget)


@pytest.mark.parametrize("int8", [pytest.param(False, marks=pytest.mark.ci), True], ids=["float32", "int8"])
def test_exits_alone(int8, stopping, images):
    content = exported(stopping(), int8, thresholds="input")
    seen = keeps(content, images, thresholds=UNLIMITED)
    assert set(seen.ravel()) == {0, 1, 2, 3}
    assert all(len(set(row)) == 1 for row in seen)
    staged = lite.Stages(lite.stages(exported(stopping(), int8, budget=None, thresholds="input")))
    interpreter, metadata = lite.Interpreter(content), lite.read_metadata(content)
    costs = [most_until(metadata, {}, stop) for stop in range(4)]
    for budget in (*costs, costs[0] - 1, costs[1] - 1, costs[3] - 1, None):
        for image in images[:6]:
            one, other = interpreter.run(image, budget=budget), staged.run(image, budget=budget)
            np.testing.assert_allclose(other.logits, one["logits"], atol=1e-6)
            assert other.exit == one["decisions"].sum()
    with pytest.raises(ValueError, match="stages are cut from a model without a budget"):
        lite.stages(content)


@pytest.mark.parametrize("int8", [pytest.param(False, marks=pytest.mark.ci), True], ids=["float32", "int8"])
def test_on_a_microcontroller(int8, gated):
    pytest.importorskip("tflite_micro")
    keeps(exported(gated, int8, fold="never"), pictures(20), 4, lite.MicroInterpreter)


@pytest.mark.parametrize("place", [0, pytest.param(1, marks=pytest.mark.ci)])
def test_an_exit_at_which_all_stop_anyway(place, gated):
    confidence, images = gated.decider.deciders[-1], pictures(6)
    thresholds = np.full(3, np.inf)
    thresholds[place] = 0
    confidence.set_thresholds(thresholds)
    try:
        content = exported(gated)
    finally:
        confidence.set_thresholds(UNLIMITED)
    metadata = lite.read_metadata(content)
    columns = [metadata["decisions"].index(name) for name in EXITS]
    stops = run(lite.Interpreter(content), images)["decisions"][:, columns].sum(axis=1)
    np.testing.assert_array_equal(stops, place)
    least = run(lite.Interpreter(content), images, budget=0)["decisions"][:, columns].sum(axis=1)
    np.testing.assert_array_equal(least, 0)


def test_numbers_that_are_part_of_the_file(stopping, images):
    model = stopping()
    model.decider.set_thresholds(UNLIMITED)
    for budget in (np.int64(10**12), np.float32(1e9)):
        content = lite.export(model, outputs=OUTPUTS, budget=budget)
        assert lite.read_metadata(content)["budget"]["macs"] == float(budget)
        assert run(lite.Interpreter(content), images[:3])["decisions"].all()
    with pytest.raises(ValueError, match="takes thresholds as an input with budget='input' or None"):
        lite.export(model, thresholds="input", budget=1e9)


def test_what_cannot_have_a_budget(tiny, gated):
    with pytest.raises(ValueError, match="a budget stops images at exits"):
        exported(tiny())
    with pytest.raises(ValueError, match="a budget stops images at exits"):
        exported(layers.DynamicModel(gated.chain, name="all_exits"), budget=1e6)
    for budget in (0, -3, "inputs", True):
        with pytest.raises(ValueError, match="budget, unless it is 'input', must be a positive number"):
            exported(gated, budget=budget)
