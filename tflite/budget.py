"""Thresholds for a budget, of whatever has thresholds: a cascade, or a network with exits."""


def fit_thresholds(model, images, labels, macs: float | None) -> list[str]:
    """Fits a model's thresholds on held-out images.

    Args:
        model: Cascade, or a DynamicModel whose exits Confidence decides.
        images: held-out images, [n, height, width, channels].
        labels: int [n]; only a cascade needs them.
        macs: mean MACs per image at most; None, of a cascade, for the last network's accuracy.

    Returns:
        A line that says what the thresholds give.

    Raises:
        ValueError: if the model has no thresholds, images or labels are missing, the images have another size, or the
            budget cannot be met.
    """
    from keras_dynamic import deciders, models, training

    decider = getattr(model, "decider", None)
    is_cascade = isinstance(model, models.Cascade)
    if not is_cascade and not (isinstance(decider, deciders.Confidence) and model.chain.exit_names):
        raise ValueError(
            "--macs is the budget of a cascade, or of a network whose exits a Confidence decider decides, got "
            f"{model.name!r}, which is neither; name several models, or drop it."
        )
    if is_cascade and labels is None:
        raise ValueError("a cascade's thresholds need labels; give --calibration an .npz with images x and labels y.")
    shape = tuple(model.image_shape[1:])
    if len(images) == 0 or tuple(images.shape[1:]) != shape:
        raise ValueError(
            f"calibration images must have shape [n, {', '.join(map(str, shape))}], got {list(images.shape)}; give "
            "--calibration images that the model has not been trained on."
        )
    if is_cascade:
        fitted = model.fit_thresholds(images, labels, macs=macs)
        values, gives = fitted.thresholds, f"{fitted.accuracy:.2%} right at {fitted.macs:,.0f} MACs, mean"
    else:
        found = training.fit_budget(model, images, macs)
        values, gives = found.thresholds, f"{found.spent:,.0f} MACs, mean"
    thresholds = ", ".join(f"{threshold:.4g}" for threshold in values)
    return [f"thresholds {thresholds}: {gives} over the {len(images)} images that they were fitted on (Keras, float32)"]
