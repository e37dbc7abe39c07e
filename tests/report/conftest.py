"""A report of the shape that the main job writes, with figures of the size that it measures."""

import numpy as np
import pytest

from keras_dynamic.report.schema import PerImage

UNITS = [
    f"stage{stage}_unit{unit}" for stage in (1, 2, 3) for unit in range(1, 6) if (stage, unit) not in ((2, 1), (3, 1))
]
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def timings(static: float, dynamic: float, accuracy: float, unit_ms: dict) -> dict:
    return {
        "latency_static_ms": static,
        "latency_dynamic_ms": dynamic,
        "latency_all_on_ms": sum(unit_ms.values()),
        "overhead": 1.031,
        "overhead_with_decider": 1.062,
        "decider_ms": 0.03 * dynamic,
        "size_bytes": 1_962_432,
        "size_static_bytes": 1_874_112,
        "accuracy": accuracy,
        "accuracy_static": 0.934,
        "macs_mean": 35_400_000,
        "decisions_changed": 0.013,
        "latency_p10_ms": 0.5 * dynamic,
        "latency_p90_ms": 1.8 * dynamic,
        "unit_ms": unit_ms,
    }


@pytest.fixture
def report() -> dict:
    gates = {name: round(0.35 + 0.05 * k, 2) for k, name in enumerate(UNITS)}
    networks = {"resnet8": 0.55, "resnet20": 1.75, "resnet32": 2.9}
    units = {"stem": 0.12, **dict.fromkeys(UNITS, 0.19), "head": 0.01}
    return {
        "static": {
            "resnet8": {"accuracy": 0.878, "macs": 12_200_000},
            "resnet20": {"accuracy": 0.924, "macs": 40_600_000},
            "resnet32": {"accuracy": 0.935, "macs": 69_000_000},
        },
        "cascade_frontier": [
            [12_200_000, 0.878, "resnet8"],
            [18_400_000, 0.9132, "resnet8, resnet20"],
            [23_200_000, 0.9248, "resnet8, resnet20, resnet32"],
            [29_100_000, 0.9335, "resnet8, resnet20, resnet32"],
            [34_900_000, 0.9355, "resnet8, resnet20, resnet32"],
        ],
        "systems": {
            "cascade": {
                "accuracy": 0.935,
                "accuracy_static_twin": 0.9041,
                "accuracy_shuffled": 0.905,
                "macs_static": 69_000_000,
                "macs_mean": 34_300_000,
                "macs_std": 32_100_000,
                "distinct_paths": 3,
                "activation_rates": {"resnet20": 0.4, "resnet32": 0.09},
                "static_twin": [[12_200_000, 0.878], [52_800_000, 0.926]],
                "float32": timings(2.9, 1.55, 0.935, networks),
                "int8": timings(1.35, 0.74, 0.932, {name: 0.47 * value for name, value in networks.items()}),
            },
            "gated": {
                "accuracy": 0.911,
                "accuracy_static_twin": 0.901,
                "accuracy_shuffled": 0.862,
                "macs_static": 69_000_000,
                "macs_mean": 45_900_000,
                "macs_std": 4_200_000,
                "distinct_paths": 214,
                "activation_rates": gates,
                "static_twin": [[44_700_000, 0.899], [49_400_000, 0.907]],
                "float32": timings(2.92, 2.05, 0.911, units),
                "int8": timings(1.36, 1.02, 0.907, {name: 0.47 * value for name, value in units.items()}),
            },
        },
    }


def per_image(decisions: int, seed: int, count: int = 40) -> PerImage:
    generator = np.random.default_rng(seed)
    choices = generator.integers(0, 2, (decisions, count))
    return PerImage(
        images=generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        labels=np.arange(count) % 10,
        predictions=np.where(np.arange(count) % 7 == 3, (np.arange(count) + 1) % 10, np.arange(count) % 10),
        macs=12_200_000 + 4_000_000 * choices.sum(0),
        decisions={f"unit{k}": row for k, row in enumerate(choices)},
        class_names=CLASSES,
    )


@pytest.fixture
def evaluations() -> dict[str, PerImage]:
    return {"cascade": per_image(2, seed=0), "gated": per_image(13, seed=1)}
