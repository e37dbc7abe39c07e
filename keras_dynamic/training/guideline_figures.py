"""Whether images run as many units as a guideline asks for."""

import keras
import numpy as np

from keras_dynamic.metrics import rank_correlation, units_run
from keras_dynamic.ops import softmax_variance


def guideline_figures(model, x, decisions, batch_size=250) -> dict:
    """Compares what a guideline asks for with the units that images run.

    Args:
        model: built methods.SGAD.
        x: images, [n, height, width, channels], n at least 2.
        decisions: {unit name: 0/1 array [n]} that the model took for them.
        batch_size: images at a time.

    Returns:
        'expected_units_mean': units that an image should run according to the guideline, or to the constant_ratio in
        its place, mean over the images, those units included that always run; and where there is a guideline,
        'rank_correlation' (Spearman) between the units that an image runs and its difficulty for the guideline, which
        is minus the variance of equation 9.

    Source: SGAD, equations 9 and 11.
    """
    units = len(model.chain.skippable_names)
    if model.guideline is None:
        return {"expected_units_mean": (1 - model.constant_ratio) * units}
    ratios, variances = [], []
    for start in range(0, len(x), batch_size):
        images = keras.ops.convert_to_tensor(x[start : start + batch_size])
        ratio, logits = model.expected_ratio(images, training=False)
        ratios.append(keras.ops.convert_to_numpy(ratio))
        variances.append(keras.ops.convert_to_numpy(softmax_variance(logits)))
    return {
        "expected_units_mean": float((1 - np.concatenate(ratios).mean()) * units),
        "rank_correlation": rank_correlation(-np.concatenate(variances), units_run(decisions)),
    }
