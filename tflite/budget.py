"""Thresholds for a budget, of whatever has some: a cascade, a network with exits, or one with gates or a policy."""

import warnings


def stopping(model):
    """Returns a network with exits that decides nothing under a Confidence decider, and any other as it is.

    Args:
        model: Keras model; as methods train exits, it runs all of them.
    """
    from keras_dynamic import deciders, layers

    if not isinstance(model, layers.DynamicModel) or not model.chain.exit_names or model.decision_names:
        return model
    made = layers.DynamicModel(model.chain, deciders.Confidence(), name=model.name)
    made.build(model.image_shape)
    return made


def fit_thresholds(model, images, labels, **budget) -> list[str]:
    """Fits a model's thresholds, those of confidences and tau, on held-out images.

    Args:
        model: Cascade, or a DynamicModel whose exits Confidence decides, or which has gates or a policy, or both.
        images: held-out images, [n, height, width, channels].
        labels: int [n], or None; only a cascade, and exits together with gates, need them.
        **budget: macs, ms, mj, deadline and table of evaluation.fit_budget; of a cascade without any of them, the
            last network's accuracy is the goal.

    Returns:
        A line that says what the thresholds give, and warnings about the images.

    Raises:
        ValueError: if the model has no thresholds, images or labels are missing, the images have another size, or the
            budget cannot be met.
    """
    from keras_dynamic import cost, evaluation, layers, models
    from keras_dynamic.evaluation.exits import exit_confidence, with_tau

    is_cascade = isinstance(model, models.Cascade)
    if not isinstance(model, layers.DynamicModel) or not (is_cascade or exit_confidence(model) or with_tau(model)):
        raise ValueError(
            "a budget is for a cascade, a network whose exits a Confidence decider decides, gates or a policy, got "
            f"{model.name!r}, which has none of these; name several models, or drop it."
        )
    if is_cascade and labels is None:
        raise ValueError(
            "a cascade's thresholds need labels; give --calibration a folder with a folder of images for each class, "
            "or an .npz with images x and labels y."
        )
    shape = tuple(model.image_shape[1:])
    if len(images) == 0 or tuple(images.shape[1:]) != shape:
        raise ValueError(
            f"calibration images must have shape [n, {', '.join(map(str, shape))}], got {list(images.shape)}; give "
            "--calibration images that the model has not been trained on."
        )
    if is_cascade:
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            # Without a budget the last network's accuracy is the goal, which at discount 0 can always be reached.
            limited = any(each is not None for each in budget.values())
            fitted = model.fit_thresholds(images, labels, discounts=None if limited else models.DISCOUNTS, **budget)
        said = [f"warning: {each.message}" for each in raised if each.filename == __file__]
        spent, numbers = fitted.spent, _list(fitted.thresholds)
    else:
        fitted, said = evaluation.fit_budget(model, images, labels, **budget), []
        parts = [_list(fitted.thresholds)] if fitted.thresholds is not None else []
        spent, numbers = fitted.spent, ", ".join(parts + ([f"tau {fitted.tau:.4g}"] if fitted.tau is not None else []))
    right = "" if fitted.accuracy is None else f"{fitted.accuracy:.2%} right at "
    cost_text = cost.budget_of(**budget).text(spent)
    return [
        f"{numbers}: {right}{cost_text}, mean over the {len(images)} images that they were fitted on (Keras, float32)",
        *said,
    ]


def _list(thresholds):
    return "thresholds " + ", ".join(f"{threshold:.4g}" for threshold in thresholds)
