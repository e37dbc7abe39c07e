"""Small networks distilled to run in front of a large one: how well a cascade of them does, and how fast."""

import json
import time
from pathlib import Path

from keras_dynamic import lite
from keras_dynamic.evaluation.evaluate import compiled_outcome, evaluate
from keras_dynamic.experiments.jobs.evaluate_static import data_text, describe, judge_stages
from keras_dynamic.experiments.networks import build_network, title
from keras_dynamic.experiments.records import flat, write_record
from keras_dynamic.experiments.splits import load_splits
from keras_dynamic.files import write_json
from keras_dynamic.models import DISCOUNTS, cascade
from keras_dynamic.models import distil_front as distil
from keras_dynamic.report.measure import PRECISIONS, lite_figures


def distil_front(config, workdir, data_dir=None, record=None) -> dict:
    """Distils the config's front networks from its large one, and judges the cascade of all on the test images.

    Temperatures, discount and thresholds are fitted on the held-out images, on which no network was trained. What is
    distilled is kept in the folder, so that the same command goes on where it stopped.

    The config has data, network, seed, targets, and front: shares, epochs, views, label_weight, and macs, the budget
    that thresholds are fitted to, as a share of the large network's.

    Returns:
        figures: those of judge_stages, of each network alone on the test images, and of the .tflite files; minutes,
        that the distillation took, of all calls that came to its end.
    """
    start, workdir = time.time(), Path(workdir)
    splits, asked = load_splits(config.data, data_dir), config.front
    large = build_network(config.network)
    x, y = splits.train
    fronts = distil(
        large,
        x,
        y,
        share=tuple(asked.shares),
        epochs=asked.epochs,
        views=asked.views,
        label_weight=asked.label_weight,
        seed=config.seed,
        folder=workdir / "distilled",
        verbose=2,
    )
    noted = workdir / "seconds.json"
    seconds = time.time() - start + (json.loads(noted.read_text()) if noted.exists() else 0.0)
    write_json(noted, seconds)
    model = cascade([*fronts, large])
    model.fit_temperatures(*splits.held_out)
    whole = large.cost_tree.total_macs
    fitted = model.fit_thresholds(*splits.held_out, macs=asked.macs * whole, discounts=DISCOUNTS)
    print(f"discount {model.discount}, thresholds {fitted.thresholds}, held out {fitted.accuracy:.2%}", flush=True)
    figures = judge_stages(model, *splits.test) | {"macs_static": whole, "discount": model.discount}
    for name, network in zip(("front", "middle") if len(fronts) > 1 else ("front",), fronts, strict=True):
        figures[f"macs_{name}"] = network.cost_tree.total_macs
        figures[f"accuracy_{name}"] = evaluate(network, *splits.test).accuracy
    figures["accuracy_large"] = evaluate(large, *splits.test).accuracy
    model.save(workdir / "cascade.keras")
    static = {precision: lite.export(large, way, splits.held_out[0]) for precision, way in PRECISIONS.items()}
    judged = evaluate(model, *splits.test, outcome=compiled_outcome(model))
    figures |= lite_figures("cascade", model, static, splits, judged, workdir)
    figures = flat(figures) | {
        "margin_large": figures["accuracy"] - figures["accuracy_large"],
        "macs_share": figures["macs_mean"] / whole,
        "minutes": seconds / 60,
    }
    print(" ".join(f"{name} {value:.5g}" for name, value in figures.items()), flush=True)
    if record:
        label = f"{len(fronts)} front networks, distilled from {title(config.network)} ({describe(config.network)})"
        text, targets = data_text(config, splits), config.targets.to_dict()
        write_record(record, "cascade", label, text, config.to_dict(), figures, targets, time.time() - start)
    return figures
