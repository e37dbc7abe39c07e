"""MACs of gates: section S1.4's formula of Herrmann et al. beside its figure 8, and what the library's gates cost.

docs/channels.md tells this; its figures are those below.
"""

from pathlib import Path

import pytest

from configs.activation import MOBILENET_GRANULARITY, RESNET_GRANULARITY
from keras_dynamic.deciders import ChannelGates
from keras_dynamic.methods import ActivationGating
from keras_dynamic.models import mobilenet_v2, resnet50
from keras_dynamic.transform import group_channels

PAGE = Path(__file__).parents[2] / "docs" / "channels.md"

# Section 4.2: expansion, channels, units, stride; filters per gate on input, output and expansion.
MOBILENET = (
    (1, 16, 1, 1, 8, 8, 16),
    (6, 24, 2, 2, 8, 8, 24),
    (6, 32, 3, 2, 8, 16, 24),
    (6, 64, 4, 2, 8, 16, 32),
    (6, 96, 3, 1, 16, 32, 48),
    (6, 160, 3, 2, 16, 32, 64),
    (6, 320, 1, 1, 32, 64, 64),
)
RESNET = ((3, 64, 16), (4, 128, 32), (6, 256, 64), (3, 512, 128))  # units, filters, filters per gate of the expansion


def gates(channels, count):
    """S1.4: `count` times 1x1 from the channels to 16, and 1x1 from 16 to 2."""
    return count * (16 * channels + 16 * 2)


def mobilenet(size):
    """(average pools, gates and their number) of all units: H W C a pool."""
    side, channels, pools, macs, count = size // 2, 32, 0, 0, 0
    for expansion, filters, units, stride, on_input, on_output, on_expansion in MOBILENET:
        for unit in range(units):
            number = channels // on_input + expansion * channels // on_expansion + filters // on_output
            pools, macs, count = pools + side**2 * channels, macs + gates(channels, number), count + number
            side, channels = side // (1 if unit else stride), filters
    return pools, macs, count


def resnet(with_expansions):
    """Likewise of ResNet-50, gates on both contractions, with or without those on the expansion."""
    side, channels, pools, macs, count = 56, 64, 0, 0, 0
    for stage, (units, filters, granularity) in enumerate(RESNET):
        for unit in range(units):
            number = 2 * filters // (granularity // 2) + with_expansions * 4 * filters // granularity
            pools, macs, count = pools + side**2 * channels, macs + gates(channels, number), count + number
            side, channels = side // (2 if stage and not unit else 1), 4 * filters
    return pools, macs, count


def test_the_papers_average_pools_are_the_difference_of_its_two_mobilenets():
    large, small = mobilenet(224), mobilenet(96)
    assert (large[0], small[0]) == (958_048, 175_968)
    assert large[0] - small[0] == pytest.approx(2.51e6 - 1.72e6, abs=0.01e6)
    assert large[1:] == small[1:]


def test_the_rest_of_figure_8_is_not_what_the_formula_gives():
    """Kept so that nobody takes these for reproduced."""
    pools, macs, count = mobilenet(224)
    assert (macs, count) == (448_768, 316)
    assert 2.51e6 - pools == pytest.approx(1.55e6, abs=0.01e6)
    assert (resnet(True), resnet(False)) == ((5_619_712, 6_733_824, 512), (5_619_712, 3_366_912, 256))
    assert pytest.approx(2.89e6, abs=0.01e6) == 8.51e6 - 5_619_712


def decided(network, granularity):
    network.build((None, 224, 224, 3))
    plain = network.cost_tree.total_macs
    model = ActivationGating(group_channels(network, granularity).chain, ChannelGates())
    model.build((None, 224, 224, 3))
    return model, model.cost_tree.total_macs - plain


def test_what_the_librarys_gates_of_a_resnet_50_cost():
    """One hidden layer of 16 a unit, one logit a gate: 16 C + 16 G, eight groups of which one always runs."""
    model, cost = decided(resnet50(), RESNET_GRANULARITY)
    inputs = [64] + [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 2
    assert len(model.decision_names) == 16 * 7
    assert cost == sum(16 * channels + 16 * 7 for channels in inputs) == 211_712


def test_what_the_librarys_gates_of_a_mobilenet_cost():
    model, cost = decided(mobilenet_v2(), MOBILENET_GRANULARITY[1.0])
    # input channels, and groups but the one that always runs, of the units with a shortcut
    units = [(24, 5)] + [(32, 7)] * 2 + [(64, 11)] * 3 + [(96, 11)] * 2 + [(160, 14)] * 2
    assert len(model.decision_names) == sum(number for _, number in units)
    assert cost == sum(16 * channels + 16 * number for channels, number in units) == 14_304


def test_the_page_has_these_figures():
    text = PAGE.read_text(encoding="utf-8")
    for figure in (958_048, 175_968, 448_768, 5_619_712, 6_733_824, 3_366_912, 211_712, 14_304):
        assert f"{figure:,}" in text
