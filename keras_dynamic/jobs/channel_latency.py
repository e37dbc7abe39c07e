"""What channel groups save in a .tflite: the time with some of them on over that of the static network."""

import time

import keras
import numpy as np
from keras import layers

from keras_dynamic import lite
from keras_dynamic.deciders import ChannelGates
from keras_dynamic.jobs.record import write_record
from keras_dynamic.layers import Chain, ChannelGroups, DynamicModel, Residual
from keras_dynamic.lite.variants import driven, with_outputs


def channel_latency(config, record=None) -> dict:
    """Times units with channel groups, 1, 2, ... of them on, in turn with the same units without groups.

    Once the groups are inputs of the file, so that no gate runs, and once data-dependent gates decide, whose biases
    make sure of the same groups. Random weights and images: time does not depend on them.

    Args:
        config: with channels, size, units, granularity, on (the numbers of groups that are on), rounds, targets and
            seed.
        record: the record's id; None writes none.

    Returns:
        {'ratio_K_PRECISION', 'ratio_with_gates_K_PRECISION'} for K groups on, and 'static_ms_PRECISION'.
    """
    start = time.time()
    keras.utils.set_random_seed(config.seed)
    images = np.random.default_rng(config.seed).integers(0, 256, (50, config.size, config.size, 3)).astype(np.uint8)
    figures: dict[str, float] = {}
    for precision, quantize in (("float32", None), ("int8", "int8")):
        figures |= {f"{name}_{precision}": value for name, value in _ratios(config, quantize, images).items()}
    print("\n".join(f"{name} {value:.3f}" for name, value in figures.items()))
    if record:
        label = f"{config.units} units of {config.channels} channels, groups of {config.granularity}"
        data = f"random images of {config.size} pixels, {config.rounds} runs of each in turn"
        targets = config.targets.to_dict()
        write_record(record, "channels", label, data, config.to_dict(), figures, targets, time.time() - start)
    return figures


def _ratios(config, quantize, images) -> dict:
    chain = _chain(config)
    static = DynamicModel(chain)
    static.build((None, config.size, config.size, 3))
    exported = {"static": lite.export(static, quantize, images)}
    gated = DynamicModel(chain, ChannelGates(seed=config.seed))
    gated.build((None, config.size, config.size, 3))
    for count in config.on:
        for gate in gated.decider.gates.values():
            on = np.arange(1, gate.groups + 1) < count  # the first group is forced
            gate.bias.assign(np.concatenate([np.zeros(gate.groups), np.where(on, 20.0, -20.0)]))
        file = lite.export(gated, quantize, images, outputs=("logits", "decisions"), fold="never")
        exported[f"ratio_{count}"] = driven(file)
        exported[f"ratio_with_gates_{count}"] = with_outputs(file, ["logits"])
    runners = {name: lite.Interpreter(content) for name, content in exported.items()}
    for name, runner in runners.items():
        count = int(name.rsplit("_", 1)[1]) if name != "static" else 0
        given = {port: value for port, value in runner.inputs.items() if port != "image"}
        numbers = {port: int(port.split("[")[1].rstrip("]")) for port in given}
        runner.set(images[0], **{port: np.full(given[port].shape, numbers[port] < count) for port in given})
    times: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(config.rounds):
        for name, runner in runners.items():
            runner.invoke()  # not timed: the first run after another model finds cold caches
            before = time.perf_counter()
            runner.invoke()
            times[name].append(time.perf_counter() - before)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    ratios = {name: value / medians["static"] for name, value in medians.items() if name != "static"}
    return {"static_ms": 1e3 * medians["static"], **ratios}


def _chain(config):
    """Returns a chain that is almost nothing but units with channel groups."""

    def part(relu):
        convolution = layers.Conv2D(config.channels, 3, padding="same", use_bias=False)
        return [convolution, layers.BatchNormalization(), *([layers.ReLU()] if relu else [])]

    units = [
        Residual(ChannelGroups(part(True), part(False), config.granularity), activation="relu", name=f"unit{k + 1}")
        for k in range(config.units)
    ]
    stem = [layers.Rescaling(1 / 255), layers.Conv2D(config.channels, 1, activation="relu")]
    return Chain(stem, units, [layers.GlobalAveragePooling2D(), layers.Dense(10)])
