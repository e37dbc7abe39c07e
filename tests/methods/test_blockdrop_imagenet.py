"""BlockDrop at the size of the paper's ImageNet networks: costs, and a training step of each stage."""

import keras
import numpy as np
import pytest

from configs import blockdrop
from keras_dynamic.experiments import Run
from keras_dynamic.models import resnet_imagenet

FLOPS = 1.5603e10  # ResNet-101: 2 x MACs, as tests/models/test_resnet_imagenet.py works out


def config_of(stage="curriculum"):
    """The config for the paper's version of ResNet-101, untrained."""
    config = blockdrop.get_config(f"resnet101_imagenet_{stage}")
    config.network.version, config.network.weights = "v1.5", ""
    return config


@pytest.mark.ci
def test_the_policy_costs_what_the_paper_says():
    """3.0 % of the network's FLOPs; it always runs, so everything on costs the sum."""
    model = Run(config_of()).model
    policy = next(child for child in model.cost_tree.children if child.name == "policy")
    assert 2 * policy.total_macs / FLOPS == pytest.approx(0.030, rel=0.01)
    assert 2 * model.cost_tree.total_macs == pytest.approx(FLOPS + 2 * policy.total_macs, rel=1e-3)
    assert policy.when is None
    assert len(model.decision_names) == 33


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["curriculum", "finetuning"])
def test_a_training_step(stage):
    config = config_of(stage)
    model = Run(config).model
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    variable = next(each for each in model.chain.stem.variables if each.path.endswith("kernel"))
    before = keras.ops.convert_to_numpy(variable)
    images = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3)).astype(np.uint8)
    logs = model.train_on_batch(images, np.arange(4), return_dict=True)
    assert np.isfinite(logs["loss"])
    assert np.any(keras.ops.convert_to_numpy(variable) != before) == (stage == "finetuning")
    assert int(model.decider.steps) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("third", "flops"), [(14, 1.17e10), (15, 1.21e10), (18, 1.34e10)])
def test_a_training_step_of_a_static_baseline(third, flops):
    """ResNet-72, -75 and -84 of the paper's table 4."""
    model = resnet_imagenet((3, 4, third, 3))
    model.build((None, 224, 224, 3))
    assert 2 * model.cost_tree.total_macs == pytest.approx(flops, rel=0.01)
    model.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    variable = next(each for each in model.chain.stem.variables if each.path.endswith("kernel"))
    before = keras.ops.convert_to_numpy(variable)
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    assert np.isfinite(model.train_on_batch(images, np.arange(2), return_dict=True)["loss"])
    assert np.any(keras.ops.convert_to_numpy(variable) != before)
