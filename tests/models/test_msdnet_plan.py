"""Layers per block, live scales and transitions, by hand for small networks."""

import pytest

from keras_dynamic.models.msdnet import block_sizes, plan, scales_after


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        ((5, 1, 1, "lin_grow"), [1, 2, 3, 4, 5]),
        ((4, 3, 2, "lin_grow"), [3, 3, 5, 7]),
        ((3, 4, 2, "even"), [4, 2, 2]),
        ((1, 6, 2, "even"), [6]),
    ],
)
def test_layers_per_block(arguments, sizes):
    assert block_sizes(*arguments) == sizes


@pytest.mark.parametrize(
    ("layers", "prune", "scales"),
    [
        (6, "max", [3, 3, 3, 2, 2, 1, 1]),
        (9, "max", [3, 3, 3, 3, 2, 2, 2, 1, 1, 1]),
        (4, "max", [3, 3, 3, 2, 1]),  # the authors' code has 2 after layer 4, of which one is read by nobody
        (6, "min", [3, 3, 3, 3, 3, 2, 1]),
        (1, "max", [2, 1]),
        (1, "min", [2, 1]),
    ],
)
def test_live_scales(layers, prune, scales):
    assert [scales_after(layer, layers, 3, prune) for layer in range(layers + 1)] == scales


@pytest.mark.parametrize(
    ("prune", "reduction", "transitions"),
    [
        # 10 channels and 4 a layer: 'max' has its transitions behind layers 3 and 5, 'min' behind 2 and 4.
        ("max", 0.5, [None, None, 11, None, 9, None]),
        ("min", 0.5, [None, 9, None, 8, None, None]),
        ("max", 0.25, [None, None, 5, None, 3, None]),
        ("max", 0, [None] * 6),
    ],
)
def test_transitions(prune, reduction, transitions):
    planned = plan([2, 4], 3, 10, 4, prune, reduction)
    assert [layer.transition for layer in planned] == transitions
    assert [layer.block for layer in planned] == [1, 1, 2, 2, 2, 2]
    assert [layer.finest for layer in planned] == ([1, 1, 2, 2, 3, 3] if prune == "max" else [1, 1, 1, 1, 2, 3])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda: block_sizes(3, 1, 1, "lin_grew"),
            r"step_mode must be one of \('even', 'lin_grow'\), got 'lin_grew' \(did you mean 'lin_grow'\?\)",
        ),
        (lambda: plan([3], 3, 4, 2, "maximum"), r"prune must be one of \('max', 'min'\), got 'maximum'"),
        (
            lambda: plan([3], 3, 4, 2, "max", 0.1),
            r"reduction=0\.1 leaves none of the 8 channels that channels and growth make by layer 2",
        ),
    ],
)
def test_options_that_cannot_be(function, message):
    with pytest.raises(ValueError, match=message):
        function()
