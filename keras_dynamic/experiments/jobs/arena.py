"""The memory of a dynamic network on TensorFlow Lite Micro, with and without a plan, against its static network's."""

import time

import numpy as np

from keras_dynamic import lite, zoo
from keras_dynamic.data import shipped
from keras_dynamic.deciders import PerUnitGates
from keras_dynamic.experiments.jobs.emulator import model_of
from keras_dynamic.experiments.records import write_record
from keras_dynamic.layers import DynamicModel


def arena(config, workdir=None, data_dir=None, record=None) -> dict:
    """Measures what TensorFlow Lite Micro's interpreter needs here, with 8-byte pointers, for int8 files.

    The config has model, names in the zoo: one network that decides, or several that are a cascade; gates, whether the
    network gets gates of its units, untrained; static, of a network that runs whole; macs, the mean to which a
    cascade's thresholds are fitted; images, how many of the shipped test images; targets and seed.

    Returns:
        {figure: number}: arena_bytes, with the plan that lite.firmware writes; arena_static_bytes, of the static file
        as it is exported, and arena_ratio; arena_unplanned_bytes and arena_unplanned_ratio, of the dynamic file without
        a plan; arena_static_planned_bytes and arena_planned_ratio, of the static file with one; ram_bytes,
        ram_static_bytes and ram_ratio, of the tensors alone, both with a plan; skippable_share, of the MACs; and equal,
        the share of images with the same logits and decisions with a plan as without.
    """
    start, images = time.monotonic(), shipped()
    model, static = model_of(config, images), zoo.load(config.static)
    if config.gates:
        model = DynamicModel(model.chain, PerUnitGates(seed=config.seed), name="gated")
        model.build(static.image_shape)
    dynamic = lite.pool_means(lite.export(model, "int8", images.x_heldout, ("logits", "decisions")))
    plain = lite.export(static, "int8", images.x_heldout)
    figures = {"equal": _equal(dynamic, lite.plan_arena(dynamic), images.x_test[: config.images])}
    found = lite.verify(dynamic)
    figures["skippable_share"] = 1 - found.macs_all_off / found.macs_all_on
    dynamic = lite.with_outputs(dynamic, ["logits"])
    planned, plain_planned = lite.plan_arena(dynamic), lite.plan_arena(plain)
    own, own_planned, whole, whole_planned = (
        lite.MicroInterpreter(content).arena_bytes() for content in (dynamic, planned, plain, plain_planned)
    )
    tensors, tensors_static = (lite.tensor_arena(content).bytes for content in (planned, plain_planned))
    figures |= {
        "arena_bytes": own_planned,
        "arena_static_bytes": whole,
        "arena_ratio": own_planned / whole,
        "arena_unplanned_bytes": own,
        "arena_unplanned_ratio": own / whole,
        "arena_static_planned_bytes": whole_planned,
        "arena_planned_ratio": own_planned / whole_planned,
        "ram_bytes": tensors,
        "ram_static_bytes": tensors_static,
        "ram_ratio": tensors / tensors_static,
    }
    print("\n".join(f"{name} {value:.6g}" for name, value in figures.items()), flush=True)
    if record:
        name = f"{model.name} on TensorFlow Lite Micro, int8, beside {config.static}"
        data = f"{config.images} shipped test images"
        targets = config.targets.to_dict()
        write_record(record, "edge", name, data, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


def _equal(content, planned, x) -> float:
    """Returns the share of images for which two files give the same."""
    one, other = lite.MicroInterpreter(content), lite.MicroInterpreter(planned)
    pairs = ((one.run(image, raw=True), other.run(image, raw=True)) for image in x)
    return float(np.mean([all(np.array_equal(own[name], found[name]) for name in own) for own, found in pairs]))
