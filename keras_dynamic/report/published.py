"""What the papers published, to stand beside the records."""

from __future__ import annotations

from typing import NamedTuple

from keras_dynamic.report import formatting
from keras_dynamic.report.markdown import table


class Published(NamedTuple):
    """A row of a paper's tables.

    Attributes:
        network: The paper's words for it.
        data: Its data set.
        accuracy: Fraction of the test images answered rightly.
        share: MACs over those of its whole network, deciders included as the paper counts them; None if not given.
        units: Units run on average, 'of' how many, in words; '' if not given.
    """

    network: str
    data: str
    accuracy: float
    share: float | None
    units: str = ""


_C10, _C100 = "CIFAR-10", "CIFAR-100"

_HERRMANN = (
    "Herrmann, Bowen and Zabih 2018",
    [
        Published("ResNet-110, conditional", _C10, 0.9436, 0.65),
        Published("ResNet-56, pruned", _C10, 0.9331, 0.50),
    ],
)

# method of a record -> (source, rows)
PUBLISHED: dict[str, tuple[str, list[Published]]] = {
    "gating": _HERRMANN,
    "channels": _HERRMANN,
    "blockdrop": (
        "BlockDrop (Wu et al. 2018), tables 1 and 3",
        [
            Published("ResNet-32, curriculum", _C10, 0.886, None, "9.4 of 15"),
            Published("ResNet-32, finetuned, gamma 5", _C10, 0.913, 0.63, "6.9 of 15"),
            Published("FirstK, ResNet-32, finetuned", _C10, 0.843, None, "7 of 15"),
            Published("RandomK, ResNet-32, finetuned", _C10, 0.889, None, "7 of 15"),
            Published("DistributeK, ResNet-32, finetuned", _C10, 0.902, None, "7 of 15"),
            Published("ResNet-32, whole", _C10, 0.923, 1.0, "15 of 15"),
            Published("ResNet-110, finetuned, gamma 2", _C10, 0.919, 0.23, "10.3 of 54"),
            Published("ResNet-110, finetuned, gamma 5", _C10, 0.930, 0.30, "13.8 of 54"),
            Published("ResNet-110, finetuned, gamma 10", _C10, 0.936, 0.36, "16.9 of 54"),
            Published("ResNet-32, finetuned", _C100, 0.687, None, "13.1 of 15"),
            Published("ResNet-110, finetuned", _C100, 0.737, None, "30.2 of 54"),
        ],
    ),
    "sgad": (
        "SGAD (Wang et al. 2018), table 1",
        [
            Published("ResNet-32, MF (s_max 0.2)", _C10, 0.9311, 0.86),
            Published("ResNet-32, LF (s_max 0.8)", _C10, 0.9218, 0.47),
            Published("ResNet-32, whole", _C10, 0.9302, 1.0),
            Published("ResNet-110, MF", _C10, 0.9420, 0.86),
            Published("ResNet-110, LF", _C10, 0.9370, 0.23),
            Published("ResNet-110, whole", _C10, 0.9457, 1.0),
            Published("ResNet-32, MF", _C100, 0.7085, 0.77),
            Published("ResNet-32, LF", _C100, 0.7009, 0.71),
            Published("ResNet-32, whole", _C100, 0.7038, 1.0),
            Published("ResNet-110, MF", _C100, 0.7394, 0.94),
            Published("ResNet-110, LF", _C100, 0.7394, 0.75),
            Published("ResNet-110, whole", _C100, 0.7394, 1.0),
        ],
    ),
    "exits": (
        "IMTA (Li et al. 2019), tables 1 and 2, and Herrmann, Bowen and Zabih 2018",
        [
            Published("MSDNet, exit 1 of 7", _C100, 0.6400, 0.05),
            Published("MSDNet, exit 2 of 7", _C100, 0.6841, 0.10),
            Published("MSDNet, exit 3 of 7", _C100, 0.7186, 0.20),
            Published("MSDNet, exit 4 of 7", _C100, 0.7350, 0.35),
            Published("MSDNet, exit 5 of 7", _C100, 0.7446, 0.56),
            Published("MSDNet, exit 6 of 7", _C100, 0.7539, 0.79),
            Published("MSDNet, exit 7 of 7", _C100, 0.7596, 1.0),
            Published("MSDNet, mean over 5 exits, plain", _C100, 0.6680, None),
            Published("MSDNet, mean over 5 exits, GE", _C100, 0.6721, None),
            Published("MSDNet, mean over 5 exits, GE, ISC and OFA", _C100, 0.6840, None),
            Published("DenseNet-BC-100, learned exits", _C10, 0.9439, 0.684),
        ],
    ),
}


def published(method: str) -> str:
    """The paper's own rows for a method, on networks and schedules of its own.

    Args:
        method: Method of records.

    Returns:
        Markdown, a sentence and a table; '' where there is no paper.
    """
    if method not in PUBLISHED:
        return ""
    source, rows = PUBLISHED[method]
    header = ["Published", "Data", "Accuracy", "MACs of its whole network"]
    cells = [
        [
            row.network,
            row.data,
            formatting.percent(row.accuracy),
            formatting.NOT_MEASURED if row.share is None else formatting.percent(row.share, 0),
        ]
        for row in rows
    ]
    if any(row.units for row in rows):
        header.append("Units")
        cells = [[*line, row.units or formatting.NOT_MEASURED] for line, row in zip(cells, rows, strict=True)]
    return f"{source}, on networks and training schedules of its own:\n\n{table(header, cells)}"
