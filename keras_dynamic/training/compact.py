"""The compact reading: batched inference in which each part runs on those images alone that need it."""

import keras

from keras_dynamic.layers import DynamicModel, Outcome
from keras_dynamic.layers.readings import Masked


def compact(model):
    """Returns a function from a batch of images to the model's Outcome that computes nothing for images that skip it.

    Each unit runs on the sub-batch of images that run it, and its results are put back; behind an exit the batch holds
    only images that went on. It is one compiled TensorFlow function for batches of any size, traced once; a part that
    no image of a batch needs does not run at all. Groups of channels are computed for all images,
    and an exit's head for all that reach it, even where its gate asks nobody for the answer.

        run = kd.training.compact(model)
        labels = run(images).logits.numpy().argmax(-1)

    Args:
        model: built DynamicModel; weights and thresholds changed later are seen.

    Returns:
        Function (images [batch, height, width, channels], pixel values 0 to 255) -> Outcome. Its logits and decisions
        are those of model.outcome(images); behind the exit at which an image stopped, `exits` are zeros for it.

    Raises:
        ValueError: if the model is not built, or Keras does not run on TensorFlow; by the function, if it gets no
            images or ones of another size.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"compact needs TensorFlow, as sizes of sub-batches are known only at run time; Keras runs on "
            f"{keras.backend.backend()!r}: set KERAS_BACKEND=tensorflow, or call model.outcome(images)."
        )
    if not isinstance(model, DynamicModel) or not model.chain.built:
        raise ValueError(
            f"compact takes a built DynamicModel, got {type(model).__name__} {getattr(model, 'name', '')!r}; call it "
            "on a batch of images first."
        )
    import tensorflow as tf

    shape = model.image_shape[1:]

    @tf.function(input_signature=(tf.TensorSpec((None, *shape), tf.float32),))
    def outcome(images):
        return model.outcome(images, training=False, read=_Compact())

    def run(images) -> Outcome:
        images = keras.ops.convert_to_tensor(images)
        if len(images.shape) != 4 or tuple(images.shape[1:]) != tuple(shape) or images.shape[0] == 0:
            raise ValueError(
                f"compact takes a batch of images, [batch, {', '.join(map(str, shape))}], got shape "
                f"{tuple(images.shape)}."
            )
        return outcome(keras.ops.cast(images, "float32"))

    run.compiled = outcome  # type: ignore[attr-defined]  # for those who count its traces
    return run


class _Compact(Masked):
    """Carries decisions out by running a part on the sub-batch that needs it."""

    def run(self, unit, x, decision, training=None, **nested):
        """Returns what unit.call returns, its branch run on the images that run it."""
        if isinstance(decision, bool):
            return super().run(unit, x, decision, training, **nested)
        skipped = unit.otherwise(x, training=training)
        if not unit.nested:
            taken = _on_rows(decision, lambda some: unit.branch(some, training=training), x, lambda ran: skipped)
            return unit.combine(x, taken)

        def branch(some):
            return unit.branch(some["x"], training=training, given=some["given"], read=self)

        inputs = {"x": x, "given": nested["given"]}
        taken, inner = _on_rows(decision, branch, inputs, lambda ran: (skipped, _zeros(ran[1], decision)))
        return unit.combine(x, taken), inner

    def go_on(self, decision, rest, state):
        """Returns what lies behind an exit, run on the images that go on."""

        def stopped(later):
            return _zeros(later, decision)._replace(logits=state.answered)

        return _on_rows(decision, rest, state, stopped)


def _on_rows(decision, function, inputs, otherwise):
    """Returns function(inputs) for the rows whose decision is 1, and something else for the others.

    Args:
        decision: bool or float 0/1 tensor, [batch].
        function: from a nest like `inputs` to a nest of tensors, [some, ...]; not called where no row is decided so.
        inputs: nest of tensors, [batch, ...]; leaves that are no tensors are handed through.
        otherwise: from a nest like the function's results, or of their specs, to one of tensors [batch, ...].

    Returns:
        Nest of tensors, [batch, ...]. A leaf that the function hands through stays the input's.
    """
    import tensorflow as tf

    rows = tf.where(tf.cast(decision, tf.bool))
    specs = []

    def some():
        taken = keras.tree.map_structure(lambda leaf: tf.gather_nd(leaf, rows) if tf.is_tensor(leaf) else leaf, inputs)
        leaves = zip(keras.tree.flatten(taken), keras.tree.flatten(inputs), strict=True)
        handed = {id(one): whole for one, whole in leaves if tf.is_tensor(one)}
        results = function(taken)
        specs.append(keras.tree.map_structure(lambda leaf: tf.TensorSpec(leaf.shape, leaf.dtype), results))

        def put_back(result, other):
            if id(result) in handed:
                return handed[id(result)]
            return tf.tensor_scatter_nd_update(other, rows, result)

        return keras.tree.flatten(keras.tree.map_structure(put_back, results, otherwise(results)))

    def none():
        return keras.tree.flatten(otherwise(specs[0]))

    flat = tf.cond(tf.shape(rows)[0] > 0, some, none)
    return keras.tree.pack_sequence_as(specs[0], flat)


def _zeros(nest, decision):
    """Returns zeros of a nest's shapes, for the batch of a decision."""
    batch = keras.ops.shape(decision)[0]
    return keras.tree.map_structure(lambda leaf: keras.ops.zeros((batch, *leaf.shape[1:]), leaf.dtype), nest)
