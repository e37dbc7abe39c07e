"""Gates that have settled, made real: a smaller, ordinary network."""

import keras
import numpy as np

from keras_dynamic.deciders import ChannelGates
from keras_dynamic.layers import Chain, DynamicModel, Residual
from keras_dynamic.layers.slim import slim
from keras_dynamic.training.evaluate import evaluate

_POLARISED = 0.01  # share of the images that may decide otherwise


def materialize(model, images=None, tolerance=_POLARISED, batch_size=250) -> DynamicModel:
    """Turns channel gates whose decisions are the same for all images into an ordinary, smaller network.

    Filters of groups that are off are gone, and so are the gates: what is left decides nothing and is exported to an
    ordinary static file. The given model stays as it was.

    Args:
        model: built DynamicModel with deciders.ChannelGates.
        images: [n, height, width, channels], on which data-dependent gates must have polarised; data-independent gates
            need none.
        tolerance: share of the images that may decide otherwise than the rest, in [0, 0.5).
        batch_size: images at a time.

    Returns:
        DynamicModel in which everything runs, built, with weights of its own; for images whose decisions are those of
        the rest its logits are those of the model.

    Raises:
        ValueError: if the decider is another, images are missing, or a gate has not polarised (the error names those
            that have not, and how far they are).

    Source: Herrmann et al., sections 1 and 3.1 (pruning by data-independent gates).
    """
    if not isinstance(getattr(model, "decider", None), ChannelGates):
        kind = type(getattr(model, "decider", model)).__name__
        raise ValueError(f"materialize takes a built model with ChannelGates, got {kind}; gate its channel groups.")
    runs = _settled(model, images, tolerance, batch_size)
    units = []
    for unit, spec in zip(model.chain.units, model.chain.input_specs, strict=True):
        names = getattr(unit, "group_names", ())
        if not any(name in runs for name in names):
            units.append(_copy(unit, spec))
            continue
        forced = unit.body.forced
        kept = list(range(forced)) + [forced + k for k, name in enumerate(names) if runs.get(name, True)]
        shortcut = None if unit.shortcut is None else _copy(unit.shortcut, spec)
        body = [slim(unit.body, spec, kept)]
        if unit.body.before is not None:
            body.insert(0, _copy(unit.body.before, spec))
        units.append(Residual(body if len(body) > 1 else body[0], shortcut, unit.activation, unit.mask, name=unit.name))
    chain = model.chain
    ends = [_copy(chain.stem, chain.image_spec), _copy(chain.head, _output(chain))]
    smaller = DynamicModel(Chain(ends[0], units, ends[1], name="chain"), name=f"{model.name}_materialized")
    smaller.build(model.image_shape)
    return smaller


def _settled(model, images, tolerance, batch_size):
    """Returns {decision name: whether it runs}."""
    decider = model.decider
    if not decider.data_dependent:
        images = np.zeros((1, *model.image_shape[1:]), np.float32)
    elif images is None or not len(images):
        raise ValueError("data-dependent gates are judged on images, got none; give held-out images.")
    found = evaluate(model, images, np.zeros(len(images), int), batch_size=batch_size)
    rates = {name: float(np.mean(value)) for name, value in found.decisions.items()}
    far = {name: rate for name, rate in rates.items() if min(rate, 1 - rate) > tolerance}
    if far:
        listed = ", ".join(f"{name} runs for {rate:.1%}" for name, rate in far.items())
        raise ValueError(
            f"gates must run for all images or none, to {tolerance:.0%}, got {len(far)} of {len(rates)} that do not: "
            f"{listed}; train longer with the batch activation loss, or export the network with its gates."
        )
    return {name: rate > 0.5 for name, rate in rates.items()}


def _copy(layer, spec):
    """Returns a copy of a layer with weights of its own, built for inputs of this spec."""
    copied = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    if not copied.built:
        copied.build(spec.shape)
    copied.set_weights(layer.get_weights())
    return copied


def _output(chain):
    return chain._walk.output
