"""What networks and gates cost here, beside what a paper says of them."""

import time

import keras

from keras_dynamic.cost import tree
from keras_dynamic.deciders import ChannelCNNGates, RecurrentGates
from keras_dynamic.experiments.networks import build_network
from keras_dynamic.experiments.records import write_record
from keras_dynamic.layers import DynamicModel
from keras_dynamic.models import resnet_imagenet
from keras_dynamic.transform import group_channels


def published_costs(config, workdir=None, data_dir=None, record=None) -> dict:
    """Counts networks, and the gates of DDI as a share of what they decide; no weights and no images are needed.

    The config has published, {network's name: {network: as the config's, flops: as published}}; gate, of the dense
    network with channel gates: network, granularity, filters, bottleneck; targets and seed.

    Returns:
        {figure: number}: flops_NAME, two for each multiply-accumulate, and off_NAME, its distance from the published
        number as a share of that; gate_recurrent and gate_recurrent_macs, one step of RecurrentGates over the first
        residual block of ResNet-34 at 224 pixels, with the additions of its pooling and in MACs alone; gate_channels,
        of ChannelCNNGates, likewise; gate_dense, of all channel gates over the dense network.
    """
    start, figures = time.monotonic(), {}
    keras.utils.set_random_seed(config.seed)
    for name, each in config.published.items():
        figures[f"flops_{name}"] = flops = 2 * build_network(each.network).cost_tree.total_macs
        figures[f"off_{name}"] = abs(flops / each.flops - 1)
    figures |= _residual_gates()
    network = build_network(config.gate.network)
    whole = network.cost_tree.total_macs
    grouped = group_channels(network, config.gate.granularity)
    gates = ChannelCNNGates(config.gate.filters, config.gate.bottleneck)
    figures["gate_dense"] = sum(part.total_macs for part in _gates(grouped, gates)) / whole
    if record:
        text, targets = "no images: MACs are counted", config.targets.to_dict()
        label = "plain networks and gates, beside published costs"
        write_record(record, "ddi", label, text, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


def _residual_gates() -> dict:
    """Returns the gates' figures on the paper's residual block: two 3x3 convolutions of 64 channels at 56 pixels."""
    network = resnet_imagenet((3, 4, 6, 3), block="basic")  # ResNet-34
    network.build((None, 224, 224, 3))
    second = network.chain.units[1]  # the first unit always runs and has no gate
    spec = network.chain.input_specs[1]
    block, pooled = tree(second, spec).total_macs, spec.shape[1] * spec.shape[2] * spec.shape[3]
    (step, *_) = _gates(network, RecurrentGates())
    shares = {"gate_recurrent": (2 * step.total_macs + pooled) / (2 * block)}
    shares["gate_recurrent_macs"] = step.total_macs / block
    (gate, *_) = _gates(group_channels(network, {second.name: 1}), ChannelCNNGates())
    return shares | {"gate_channels": gate.total_macs / block}


def _gates(network, decider) -> list:
    """Returns the cost of each gate of a decider on a network."""
    model = DynamicModel(network.chain, decider)
    model.build(network.image_shape)
    return [part for part in model.cost_tree.children if part.decides]
