"""Published costs of networks and gates: counted here, against arithmetic and the paper's own figures."""

import pytest

from configs.ddi import get_config
from keras_dynamic.experiments.jobs.published_costs import published_costs

SIZE, CHANNELS = 56, 64  # of a residual block of ResNet-34


@pytest.mark.ci
def test_networks_and_gates_cost_what_the_paper_says():
    config = get_config("published_costs")
    with config.unlocked():
        for name in ("densenet58", "densenet64", "densenet82", "resnet20", "resnet26", "resnet38"):
            del config.published[name]
        config.gate.network.depth = 40
    figures = published_costs(config)
    assert figures["off_densenet46"] == pytest.approx(1 - figures["flops_densenet46"] / 180e6)
    assert figures["off_densenet46"] < 0.02
    assert round(figures["flops_resnet14"] / 1e6, 1) == 52.8
    block = 2 * SIZE**2 * 9 * CHANNELS**2
    step = CHANNELS * 10 + 10 * 40 + 10  # projection, input part of the LSTM's first step, score
    assert figures["gate_recurrent_macs"] == pytest.approx(step / block)
    assert figures["gate_recurrent"] == pytest.approx((SIZE**2 * CHANNELS + 2 * step) / (2 * block))
    gate = (SIZE // 2) ** 2 * 9 * CHANNELS**2 + CHANNELS * (CHANNELS - 1)
    assert figures["gate_channels"] == pytest.approx(gate / block)
    assert 0.05 < figures["gate_dense"] < 0.2
