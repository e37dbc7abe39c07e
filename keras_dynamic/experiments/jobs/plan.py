"""A plan of a network, held against what training then reached."""

from pathlib import Path

from keras_dynamic.experiments.jobs.evaluate_static import describe
from keras_dynamic.experiments.networks import build_network, title
from keras_dynamic.experiments.records import RESULTS, load, write_record
from keras_dynamic.experiments.splits import load_splits
from keras_dynamic.report.plan import plan as make_plan


def plan(config, workdir, data_dir=None, record=None) -> dict:
    """Plans, and then compares what was expected with records of what was trained, at their MACs.

    The records are read first, so that a missing one is known at once; the plan does not see them.

    The config has data, network, seed, targets, and plan: exits, after which units they may stand, and trained,
    {'NAME': (first words of a way, id of a record)}.

    Returns:
        figures: accuracy_expected_NAME, what the plan expects at the record's MACs; accuracy_trained_NAME;
        estimate_off_NAME, one less the other; estimate_off_largest, without sign; order_right, 1 if the plan orders
        them as training did; minutes.
    """
    compared = config.plan.trained.items()
    known = {name: load(RESULTS / f"{identity}.json").figures for name, (_, identity) in compared}
    splits = load_splits(config.data, data_dir)
    found = make_plan(
        build_network(config.network),
        splits.train,
        splits.held_out,
        folder=Path(workdir),
        exits=list(config.plan.exits),
        seed=config.seed,
    )
    print(found)
    figures = {"minutes": found.seconds / 60}
    expected, trained = {}, {}
    for name, (words, _) in compared:
        way = next(way for way in found.ways if way.name.startswith(words))
        expected[name] = found.accuracy_at(way.name, known[name]["macs_mean"] / found.macs)
        trained[name] = known[name]["accuracy"]
        figures |= {f"accuracy_expected_{name}": expected[name], f"accuracy_trained_{name}": trained[name]}
        figures[f"estimate_off_{name}"] = expected[name] - trained[name]
    figures["estimate_off_largest"] = max(abs(expected[name] - trained[name]) for name in expected)
    figures["order_right"] = int(sorted(expected, key=expected.__getitem__) == sorted(trained, key=trained.__getitem__))
    print(" ".join(f"{name} {value:.5g}" for name, value in figures.items()), flush=True)
    if record:
        label = f"{title(config.network)} ({describe(config.network)})"
        text, targets = f"{config.data.name}, {len(splits.held_out[0]):,} held-out images", config.targets.to_dict()
        write_record(record, "pay", label, text, config.to_dict(), figures, targets, found.seconds)
    return figures
