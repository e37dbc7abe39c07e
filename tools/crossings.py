"""Counts the calls from one part of keras_dynamic to another in a tiny training, from its config to its record.

    PYTHONPATH=. python tools/crossings.py

A ResNet-8 is gated for three steps on random images, judged and recorded, in a temporary folder. A call of a function
crosses if the nearest function of keras_dynamic that it was called from is of another part: ops, layers, experiments...
"""

import collections
import importlib
import os
import sys
import tempfile

import numpy as np

from configs import base

PACKAGE = "keras_dynamic."
crossings: collections.Counter = collections.Counter()


def part(frame):
    """Returns the part of keras_dynamic that a frame's code is in, or '' if it is elsewhere or runs an import."""
    name = frame.f_globals.get("__name__") or ""
    inside = name.startswith(PACKAGE) and frame.f_code.co_name != "<module>"
    return name.removeprefix(PACKAGE).partition(".")[0] if inside else ""


def count(frame, event, _):
    """Counts a call if it crosses: a function for sys.setprofile."""
    callee = part(frame) if event == "call" else ""
    caller = frame.f_back
    while callee and caller is not None and not part(caller):
        caller = caller.f_back
    if callee and caller is not None and part(caller) != callee:
        crossings[part(caller), callee] += 1


if __name__ == "__main__":
    try:
        jobs = importlib.import_module("keras_dynamic.experiments.jobs")
    except ModuleNotFoundError:  # before version 0.2
        jobs = importlib.import_module("keras_dynamic.jobs")
    config, rng = base.get_config(), np.random.default_rng(0)
    config.data.name, config.data.held_out, config.network.depth = "few", 16, 8
    config.network.weights, config.method.distillation_weight = "zoo:resnet8_cifar10_45k", 0.5
    config.batch_size, config.reestimate_images = 16, 32
    config.epochs, config.anneal.a, config.anneal.k = 2, 1.0, 1
    sys.argv[0] = "tools/crossings.py"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        x, y = rng.integers(0, 256, (88, 32, 32, 3), np.uint8), rng.integers(0, 10, 88)
        names = np.array(list("abcdefghij"))
        np.savez("few.npz", x_train=x[:64], y_train=y[:64], x_test=x[64:], y_test=y[64:], class_names=names)
        sys.setprofile(count)
        jobs.run(config, "run", ".", "few")
        sys.setprofile(None)
    lines = [f"{number:7} {caller} -> {callee}" for (caller, callee), number in crossings.most_common()]
    print("\n".join([*lines, f"{crossings.total():7} in all"]))
