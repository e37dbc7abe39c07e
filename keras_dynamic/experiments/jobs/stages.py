"""What the host's loop over stages takes, beside the file with conditions that the stages were cut from."""

import time

from keras_dynamic import lite
from keras_dynamic.data import shipped
from keras_dynamic.experiments.jobs.emulator import model_of
from keras_dynamic.experiments.records import write_record
from keras_dynamic.lite.benchmark import times_in_turn


def stages_time(config, workdir=None, data_dir=None, record=None) -> dict:
    """Times a file with conditions, its stages as several files, and as one, from image to answer, in turn.

    The config has model, names in the zoo: one network with exits, or several that are a cascade; macs, the mean to
    which a cascade's thresholds are fitted; images, how many of the shipped test images; repeats, of each; targets and
    seed.

    Returns:
        {figure: number}, of float32 and int8: whole_ms, several_ms and joined_ms, means of an image's median;
        several_ratio and joined_ratio, over whole_ms; and stages_equal, the share of images of which both kinds of
        stages give the file's logits, bit for bit, and stop where it does.
    """
    start, images = time.monotonic(), shipped()
    model = model_of(config, images)
    x = images.x_test[: config.images]
    figures: dict[str, float] = {}
    for name, quantize in (("float32", None), ("int8", "int8")):
        content = lite.export(model, quantize, images.x_heldout, ("logits", "decisions"))
        made = lite.stages(content)
        whole, several, joined = (
            lite.Interpreter(content),
            lite.Stages(made),
            lite.Stages(lite.join_stages(made)),
        )
        equal = [_same(whole.run(image), [each.run(image) for each in (several, joined)]) for image in x]
        runners = {
            kind: _FromImage(each) for kind, each in (("whole", whole), ("several", several), ("joined", joined))
        }
        times = times_in_turn(runners, dict.fromkeys(runners, x), config.repeats, config.seed)
        mean = {kind: float(each.mean()) for kind, each in times.items()}
        figures |= {f"{kind}_ms_{name}": value for kind, value in mean.items()}
        figures |= {f"{kind}_ratio_{name}": mean[kind] / mean["whole"] for kind in ("several", "joined")}
        figures[f"stages_equal_{name}"] = sum(equal) / len(equal)
    print("\n".join(f"{name} {value:.6g}" for name, value in figures.items()), flush=True)
    if record:
        title, data = f"{model.name} as stages, beside the file with conditions", f"{len(x)} shipped test images"
        targets = config.targets.to_dict()
        write_record(record, "edge", title, data, config.to_dict(), figures, targets, time.monotonic() - start)
    return figures


def _same(whole, staged) -> bool:
    exit_ = whole["decisions"].sum()
    return all(each.exit == exit_ and (each.logits == whole["logits"]).all() for each in staged)


class _FromImage:
    """Runs a model from the image on, as the stages' loop takes it, where times_in_turn calls invoke."""

    def __init__(self, model):
        self._model = model

    def set(self, image):
        self._image = image

    def invoke(self):
        self._model.run(self._image)
