"""Removes filters whose weights are small."""

import keras
import numpy as np
from keras import layers

from keras_dynamic.layers import Always, ChannelGroups, DynamicModel
from keras_dynamic.layers.dynamic_model import as_dynamic, dtype_policy_scope
from keras_dynamic.layers.slices import slice_groups
from keras_dynamic.messages import check_number, did_you_mean
from keras_dynamic.transform.group_channels import convolutions_of, value_of_unit
from keras_dynamic.transform.prune import plain_copy

NORMS = ("l1",)


def prune_filters(network, share, by="l1") -> DynamicModel:
    """Returns a smaller network without the filters of least weight, to be trained on; nothing is decided by images.

    Filters are removed between a block's last two convolutions, so that its input and output keep their channels: a
    baseline for networks that skip.

        small = kd.transform.prune_filters(network, {"stage1": 0.1, "stage2": 0.4, "stage3": 0.6})
        small.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
        small.fit(x, y, epochs=10)

    Args:
        network: built DynamicModel in which everything runs, or a functional or sequential Keras model; unchanged.
        share: of the filters that are removed, in [0, 1), for all units; or {name: share} of units, or of stages, the
            first part of their names; other units are left as they are.
        by: 'l1', the sum of a filter's absolute weights.

    Returns:
        DynamicModel in which everything runs, built, with weights of its own. At least one filter of each unit is left.

    Raises:
        ValueError: if the network is not built or decides something itself, a share is out of range or names an unknown
            unit or stage, `by` is unknown, or there is no Residual or Concatenated around two
            convolutions or more.

    Source: Li et al. 2017, Pruning Filters for Efficient ConvNets (arXiv 1608.08710), sections 3.1 and 3.3.
    """
    network = as_dynamic(network)
    if not isinstance(network, DynamicModel) or not network.chain.built or not isinstance(network.decider, Always):
        raise ValueError(
            f"prune_filters takes a built network in which everything runs, got {getattr(network, 'name', network)!r}; "
            "prune first, and make it dynamic then."
        )
    if by not in NORMS:
        raise ValueError(f"by must be one of {NORMS}, got {by!r}{did_you_mean(by, NORMS)}.")
    _check_shares(share, network.chain)
    chain = plain_copy(network).chain
    units, found = [], False
    for unit, spec in zip(chain.units, chain.input_specs, strict=True):
        own = value_of_unit(share, unit.name)
        parts = convolutions_of(unit) if own is not None else None
        units.append(unit if parts is None else _smaller(unit, spec, parts, own))
        found = found or parts is not None
    if not found:
        raise ValueError(f"{network.name!r} has no unit with two convolutions that share={share!r} is for.")
    smaller = DynamicModel(chain.replace(units=units), name=network.name, dtype=network.dtype_policy)
    smaller.build(network.image_shape)
    return smaller


def _check_shares(share, chain):
    shares = share if isinstance(share, dict) else {"": share}
    names = [unit.name for unit in chain.units]
    known = [*dict.fromkeys(name.split("_")[0] for name in names), *names]
    for name, value in shares.items():
        if name and name not in known:
            raise ValueError(
                f"share names {name!r}, which is neither a unit nor a stage{did_you_mean(name, known)}; units are "
                f"{names}."
            )
        if check_number(f"share of {name!r}" if name else "share", value) >= 1:
            raise ValueError(f"share must be at least 0 and under 1, got {value!r}; what is left is what runs.")


def _smaller(unit, spec, parts, share):
    """Returns the unit without this share of the filters of its last but one convolution."""
    before, expand, contract = parts
    with dtype_policy_scope(unit.dtype_policy):
        body = ChannelGroups(expand, contract, 1, before=before or None, name=f"{unit.name}_body")
        body.build(spec.shape)
        (first,) = (layer for layer in expand if type(layer) is layers.Conv2D)
        norms = np.abs(keras.ops.convert_to_numpy(first.kernel)).sum(axis=(0, 1, 2))
        count = max(1, len(norms) - round(share * len(norms)))
        left = slice_groups(body, spec, np.sort(np.argsort(-norms, kind="stable")[:count]).tolist())
        body_layers = [left] if body.before is None else [body.before, left]
        return unit.with_body(body_layers)
