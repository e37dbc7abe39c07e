"""Multi-scale dense networks: the authors' MACs and parameters, options, exits, no dead work, saving, errors."""

import keras
import numpy as np
import pytest

from keras_dynamic import cost
from keras_dynamic.models import msdnet

TINY = {"num_classes": 3, "channels": 4, "growth": 2}
ANYTIME = {"blocks": 7, "base": 4, "step": 2, "step_mode": "even"}


def images(count, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def built(size=32, **arguments):
    model = msdnet(**arguments)
    model.build((None, size, size, 3))
    return model


def lively(model, seed=0):
    """Gives batch norms statistics that are not new ones."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        kind = variable.path.rpartition("/")[2]
        if kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif kind in ("beta", "moving_mean"):
            variable.assign(rng.uniform(-0.3, 0.3, variable.shape))
    return model


def macs_per_exit(model):
    """MACs from the image up to each exit, the earlier ones included."""
    found, total = [], 0
    for node in model.cost_tree.children:
        total += node.total_macs
        if node.exit or node.name == "head":
            found.append(total)
    return np.array(found)


def added_by_the_authors_counter(sizes, scales_of, transitions, classes):
    """What the authors' counter adds up to each exit: elements that ReLU and the average read, biases of the heads.

    Args:
        sizes: layers of each block.
        scales_of: scales that each layer hands on, of 3.
        transitions: {layer: channels after the transition behind it, before growth factors}.
        classes: of the exits.
    """
    width, factors, growth, channels = {0: 32, 1: 16, 2: 8}, (1, 2, 4), 6, 16
    added, found, layer, had = sum(width[s] ** 2 * 16 * factors[s] for s in range(3)), [], 0, 3
    for size in sizes:
        for _ in range(size):
            layer, live = layer + 1, scales_of[layer]
            for scale in range(3 - live, 3):
                finer = scale > 0 and had > 3 - scale
                filters = growth * factors[scale] // (2 if finer else 1)
                for source in (scale - 1, scale) if finer else (scale,):
                    bottleneck = min(channels * factors[source], factors[source] * filters)
                    added += width[source] ** 2 * bottleneck + width[scale] ** 2 * filters
            channels, had = channels + growth, live
            if layer in transitions:
                channels = transitions[layer]
                added += sum(width[s] ** 2 * channels * factors[s] for s in range(3 - live, 3))
        added += 4 * 4 * 128 + 2 * 2 * 128 + 2 * 2 * 128 + classes  # two ReLU, what the average reads, biases
        found.append(added)
    return np.array(found)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("arguments", "published", "parameters", "sizes", "scales_of", "transitions"),
    [
        pytest.param(
            {},
            [6.86, 14.35, 27.54, 41.71, 58.48],
            2.08e6,
            [1, 2, 3, 4, 5],
            [3] * 5 + [2] * 5 + [1] * 5,
            {6: 26, 11: 28},
            id="budgeted",
        ),
        pytest.param(
            ANYTIME,
            [15.1, 25.5, 37.1, 46.3, 57.3, 67.0, 75.9],
            3.07e6,
            [4] + [2] * 6,
            [3] * 6 + [2] * 6 + [1] * 4,
            {7: 29, 13: 32},
            id="anytime",
        ),
        pytest.param(
            {"blocks": 7},
            [6.86, 14.35, 27.29, 48.45, 76.43, 108.9, 137.3],
            4.0e6,
            [1, 2, 3, 4, 5, 6, 7],
            [3] * 10 + [2] * 10 + [1] * 8,
            {11: 41, 21: 50},
            id="imta_table_1",
        ),
    ],
)
def test_macs_and_parameters_of_the_authors_networks(arguments, published, parameters, sizes, scales_of, transitions):
    model = built(num_classes=100, **arguments)
    added = added_by_the_authors_counter(sizes, scales_of, transitions, 100)
    assert added.min() > 0
    np.testing.assert_allclose(macs_per_exit(model), 1e6 * np.array(published) - added, rtol=4e-3)
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert trainable == pytest.approx(parameters, rel=0.01)
    assert model.name == f"msdnet{sum(sizes)}"


def test_units_and_exits():
    model = built(blocks=3, base=2, **TINY)
    assert [unit.name for unit in model.chain.units] == [
        "block1_layer1",
        "block1_layer2",
        "block2_layer3",
        "block2_layer4",
        "block2_transition4",
        "block3_layer5",
        "block3_layer6",
        "block3_layer7",
        "block3_transition7",
    ]
    assert [(each.name, each.after, each.leaf) for each in model.chain.exits] == [
        ("exit1", "block1_layer2", "scale3"),
        ("exit2", "block2_transition4", "scale3"),
    ]
    assert model.chain.skippable_names == []
    outcome = model.outcome(images(2))
    assert {name: tuple(logits.shape) for name, logits in outcome.exits.items()} == {"exit1": (2, 3), "exit2": (2, 3)}
    assert tuple(outcome.logits.shape) == (2, 3)


def test_scales_end_one_after_another():
    chain = built(blocks=1, base=6, **TINY).chain
    alive = {unit.name: list(spec) for unit, spec in zip(chain.units, chain.input_specs, strict=True)}
    assert alive["block1_layer3"] == ["scale1", "scale2", "scale3"]
    assert alive["block1_layer4"] == alive["block1_layer5"] == ["scale2", "scale3"]
    assert alive["block1_layer6"] == list(chain.output_of(len(chain.units) - 1)) == ["scale3"]


@pytest.mark.parametrize("arguments", [{"blocks": 1, "base": 4}, {"blocks": 2, "base": 1, "prune": "min"}])
def test_nothing_is_computed_that_no_one_reads(arguments):
    """The last logits depend on every weight but the exits'."""
    import tensorflow as tf

    model = lively(built(**TINY, **arguments))
    with tf.GradientTape() as tape:
        total = keras.ops.sum(model(images(2), training=True) ** 2)
    exits = {id(variable) for each in model.chain.exits for variable in each.trainable_variables}
    weights = [variable for variable in model.trainable_variables if id(variable) not in exits]
    assert all(gradient is not None for gradient in tape.gradient(total, [each.value for each in weights]))


def test_options():
    plain = built(blocks=2, base=2, **TINY, bottleneck=False, reduction=0, growth_factors=(1, 2))
    assert all(len(block.layers) <= 4 for unit in plain.chain.units for block in unit.blocks.values())
    assert not any("transition" in unit.name for unit in plain.chain.units)
    assert list(plain.chain.input_specs[0]) == ["scale1", "scale2"]
    wide = built(blocks=2, base=2, **TINY, bottleneck_factors=(4, 4, 8))
    assert cost.tree(wide).total_macs > cost.tree(built(blocks=2, base=2, **TINY)).total_macs
    kept = built(blocks=2, base=4, **TINY, prune="min")
    assert len(kept.chain.input_specs[3]) == 3


# IMTA, section 4.2: scales of 56, 28, 14 and 7 pixels.
def test_four_scales_for_224_pixels():
    model = built(224, num_classes=5, blocks=2, base=1, channels=2, growth=2, image_size=224)
    specs = model.chain.input_specs[0]
    assert [spec.shape[1:] for spec in specs.values()] == [(56, 56, 2), (28, 28, 4), (14, 14, 8), (7, 7, 8)]
    head = model.chain.exits[0].head
    filters = [layer.filters for layer in head.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [4 * (2 + 2)] * 2  # as many as the coarsest scale has
    macs = 112**2 * 49 * 3 * 2 + 9 * (28**2 * 2 * 4 + 14**2 * 4 * 8 + 7**2 * 8 * 8)
    assert model.cost_tree.children[0].total_macs == macs


@pytest.mark.ci
def test_saving(fresh_process):
    model, batch = lively(built(blocks=3, **TINY)), images(3)
    again, outcome = fresh_process(model, batch), model.outcome(batch)
    np.testing.assert_allclose(again["logits"], outcome.logits, rtol=1e-4, atol=1e-5)
    for name, logits in outcome.exits.items():
        np.testing.assert_allclose(again[f"exits {name}"], logits, rtol=1e-4, atol=1e-5)
    assert np.ptp(outcome.logits) > 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 64}, r"image_size must be one of \[32, 224\], got 64"),
        ({"blocks": 0}, r"blocks must be a positive int, got 0"),
        ({"step": 1.5}, r"step must be a positive int, got 1\.5"),
        ({"growth": True}, r"growth must be a positive int, got True"),
        ({"step_mode": "odd"}, r"step_mode must be one of \('even', 'lin_grow'\), got 'odd'"),
        ({"prune": "maxi"}, r"prune must be one of \('max', 'min'\), got 'maxi' \(did you mean 'max'\?\)"),
        ({"reduction": 1.5}, r"reduction must be a number between 0 and 1, got 1\.5"),
        ({"growth_factors": (1, 0)}, r"growth_factors must be positive ints, one per scale, .* got \(1, 0\)"),
        (
            {"growth_factors": (1, 2), "bottleneck_factors": (1, 2, 4)},
            r"growth_factors=\(1, 2\) and bottleneck_factors=\(1, 2, 4\) clash: the former are of 2 scales,",
        ),
        (
            {"bottleneck": False, "bottleneck_factors": (1, 2, 4)},
            r"bottleneck=False and bottleneck_factors=\(1, 2, 4\) clash",
        ),
        (
            {"growth": 3, "growth_factors": (1, 1, 2)},
            r"growth=3 and growth_factors=\(1, 1, 2\) clash: a layer would add 3 channels to scale 2, half of them",
        ),
        (
            {"growth_factors": (1, 2, 4, 4, 4)},
            r"image_size=32 and the 5 scales of growth_factors=\(1, 2, 4, 4, 4\) clash: .* 2 pixels a side",
        ),
        ({"reduction": 0.01}, r"reduction=0\.01 leaves none of the \d+ channels"),
    ],
)
def test_options_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        msdnet(**arguments)
