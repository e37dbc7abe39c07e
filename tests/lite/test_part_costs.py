"""What parts cost: times that add up, files of parts, tables read, energy by hand. No test depends on a time."""

import json

import keras
import numpy as np
import pytest

from keras_dynamic import cost, deciders, evaluation, layers, lite, models, transform
from keras_dynamic.lite.part_costs import WHOLE
from tests.lite.test_benchmark import images

PARTS = ["stem", "stage1_unit1", "stage2_unit1", "stage3_unit1", "head"]


@pytest.fixture(scope="module")
def gated():
    model = layers.DynamicModel(models.resnet_cifar(8, width=4).chain, deciders.PerUnitGates(seed=0))
    model.build((None, 32, 32, 3))
    return model


def test_times_are_a_table_of_the_model(gated):
    gated.decider.set_tau(0.0)
    table = lite.part_times(gated, images(200))
    assert list(table) == [*PARTS, "decider"]
    assert min(table[name] for name in PARTS) > 0
    assert float(gated.decider.tau) == 0.0  # at which nothing is decided, and there would be nothing to measure
    gated.decider.set_tau(0.5)
    everything = cost.priced(gated.cost_tree, table).total_macs
    point = evaluation.fit_budget(gated, images(20), ms=everything, table=table)
    assert point.spent <= everything * (1 + 1e-9)
    with pytest.raises(ValueError, match="at least 200 images"):
        lite.part_times(gated, images(20))


@pytest.mark.ci
def test_times_of_an_unfitted_cascade():
    model, x = models.cascade([built(2), built(4)]), images(200)
    table = lite.part_times(model, x, quantize="int8")
    assert {"stem", "width4", "decider"} <= set(table)
    assert np.isinf(model.thresholds).all()
    labels = np.arange(200) % 10
    limit = 0.9 * (sum(table.values()))
    assert model.fit_thresholds(x, labels, ms=limit, table=table).spent <= limit


def test_each_part_is_a_file(gated, tmp_path):
    paths = lite.write_parts(gated, tmp_path / "parts")
    assert [path.stem for path in paths] == [WHOLE, *PARTS]
    whole = lite.Interpreter(paths[0].read_bytes())
    whole.fill()
    whole.invoke()
    lines = []
    for number, path in enumerate(paths):
        lines += [f"INFO: Graph: [{path}]", f"INFO: count=50 avg={number}", _timings(1000 * number or 30_000)]
    log = tmp_path / "log.txt"
    log.write_text("\n".join(lines))
    assert lite.read_part_times(log) == pytest.approx({name: 2.0 * (k + 1) for k, name in enumerate(PARTS)})
    log.write_text("\n".join(lines[3:]))  # without the whole they are as measured
    assert lite.read_part_times(log) == pytest.approx({name: k + 1.0 for k, name in enumerate(PARTS)})


def test_parts_that_are_not_told_apart_or_not_all_there(gated, tmp_path):
    (tmp_path / "old.tflite").write_bytes(b"")
    with pytest.raises(ValueError, match=r"has \.tflite files already"):
        lite.write_parts(gated, tmp_path)
    with pytest.raises(ValueError, match="parts are those of a DynamicModel, such as a cascade, got Sequential"):
        lite.part_energy(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    exits = transform.attach_exits(built(4), ["stage1_unit1"])
    with pytest.raises(ValueError, match=r"nothing decides the exits \['exit1'\]; give DynamicModel"):
        lite.part_times(exits, images(200))
    inner = models.cascade([built(4), built(6)], name="inner")
    inner.decider.set_thresholds([0.5])
    with pytest.raises(ValueError, match="networks inside of a cascade decide nothing, but 'inner' does"):
        lite.part_energy(models.cascade([built(2), inner]))


def built(width):
    network = models.resnet_cifar(8, width=width, name=f"width{width}")
    network.build((None, 32, 32, 3))
    return network


def _timings(microseconds):
    return (
        f"INFO: Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, "
        f"Inference (avg): {microseconds}"
    )


def test_tables_in_json(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"stem": 1, "head": 0.5}))
    assert lite.read_part_times(path) == {"stem": 1.0, "head": 0.5}
    figures = {"unit_ms": {"stem": 1.0}, "decider_ms": 0.25, "accuracy": 0.9}
    path.write_text(json.dumps([1, 4, 14]), encoding="utf-8-sig")
    assert lite.read_part_times(path) == [1, 4, 14]
    path.write_text(json.dumps({"int8": figures}))
    assert lite.read_part_times(path) == {"stem": 1.0, "decider": 0.25}
    path.write_text(json.dumps({"int8": figures, "float32": figures | {"decider_ms": 0.5}}))
    assert lite.read_part_times(path, "float32")["decider"] == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Graph: [parts/a.tflite]\nGraph: [parts/b.tflite]\nInference (avg): 3", r"has no time of \['a'\]"),
        ("Graph: [parts/whole.tflite]\nInference (avg): 0", r"has no time of \['whole'\]"),
        ("{}", "holds no table"),
        ('{"int8": {"unit_ms": {"stem": "1.0"}}}', "the time of 'stem' must be a non-negative number, got '1.0'"),
        ("nothing of the kind", "neither JSON nor the output of benchmark_model"),
        ("{1", "is no JSON"),
        ('{"stem": "1"}', "the time of 'stem' must be a non-negative number, got '1'"),
        ('{"stem": -1}', "the time of 'stem' must be a non-negative number"),
        ('{"int8": {"unit_ms": {}}, "float32": {}}', r"has times of \['float32', 'int8'\], got precision=None"),
        ('{"float32": {"accuracy": 1}}', r"has times of \['float32'\]"),
    ],
)
def test_tables_that_cannot_be_read(text, message, tmp_path):
    path = tmp_path / "table"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        lite.read_part_times(path)


def test_energy_by_hand(gated):
    def found(mac=0.0, flash=0.0, sram=0.0):
        return lite.part_energy(
            gated, weights="flash", maps="sram", table={"mac": {32: mac}, "flash": flash, "sram": sram}
        )

    arithmetic, weights, maps = found(mac=4.6), found(flash=1.0), found(sram=1.0)
    for part in gated.cost_tree.children:
        assert arithmetic[part.name] == pytest.approx(4.6e-9 * part.total_macs)
    kernels, size = 2 * 9 * 16 + 2 * 4, 32 * 32 * 4  # float32 numbers of two convolutions of a unit, and of one map
    assert weights["stage1_unit1"] == pytest.approx(1e-9 * 4 * kernels)
    assert 4 * size <= maps["stage1_unit1"] / 4e-9 <= 9 * size  # each convolution reads and writes one; an addition
    gate = next(part for part in gated.cost_tree.children if part.decides)
    assert weights[gate.name] == pytest.approx(4e-9 * gate.total_parameters)
    both = found(4.6, 1.0, 1.0)
    assert both["stem"] == pytest.approx(arithmetic["stem"] + weights["stem"] + maps["stem"])
    assert cost.priced(gated.cost_tree, both).total_macs == pytest.approx(sum(both.values()))
    dram, sram = lite.part_energy(gated), lite.part_energy(gated, weights="sram")
    difference = 1e-9 * 4 * kernels * (162.5 - 1.25)
    assert dram["stage1_unit1"] - sram["stage1_unit1"] == pytest.approx(difference)
