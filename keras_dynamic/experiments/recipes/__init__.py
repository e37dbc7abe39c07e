"""One module per method of a config's `method` section: how it is built, scheduled and measured, and what it is called.

Each module has
    build(run) -> DynamicModel around run.network(), not built yet;
    schedule(run, steps_per_epoch) -> Schedule of the training of run.model;
    measure(run, evaluation) -> {name: number, or nested}: what is measured of this method besides what is measured of
        all, once run.model is trained; evaluation is that of the test images;
    names(section) -> (method of the records, one of records.METHODS, title of the networks), for a `method` section.
"""

from keras_dynamic.experiments.recipes import blockdrop, ddi, fixed, gating, imta, sgad

RECIPES = {
    "activation_gating": gating,
    "blockdrop": blockdrop,
    "ddi": ddi,
    "fixed": fixed,
    "imta": imta,
    "sgad": sgad,
}

__all__ = ["RECIPES"]
