"""The compact execution: batched inference in which each part runs only on the images that need it."""

import os

import keras

from keras_dynamic.layers import DynamicModel, Outcome
from keras_dynamic.layers.forward import MaskedExecutor
from keras_dynamic.ops import check_images


def compact(model):
    """Returns a function from images to the model's Outcome that computes each part only for images that run it.

    Each unit runs on the sub-batch of images that run it, its skip connection on the others, and both are joined; after
    an exit the batch has only images that go on. It is one compiled TensorFlow function for batches of any size, traced
    once; a part that no image of a batch needs does not run at all. Groups of channels are computed for all images that
    run their unit, gates and an exit's head for all that reach them.

        run = kd.serving.compact(model)
        labels = run(images).logits.numpy().argmax(-1)

    Args:
        model: built DynamicModel; later changes of weights and thresholds have effect.

    Returns:
        Function (images [batch, height, width, channels], pixel values 0 to 255) -> Outcome. Its logits and decisions
        are those of model.outcome(images); after the exit at which an image stops, `exits` are zeros for it.

    Raises:
        ValueError: if the model is not built, or Keras does not run on TensorFlow; by the function, if it gets no
            images, ones of another size, or NaN or infinity, of which compiled layers may make a class like any other.
        RuntimeError: by the function, in a fork of the process that made it, where TensorFlow would hang.
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

    shape, process = model.image_shape[1:], os.getpid()

    @tf.function(input_signature=(tf.TensorSpec((None, *shape), tf.float32),))
    def outcome(images):
        return model.outcome(images, training=False, executor=_CompactExecutor())

    def run(images) -> Outcome:
        if os.getpid() != process:
            raise RuntimeError(
                "TensorFlow hangs in a fork of a process that used it; load the model and call compact in the process "
                "that runs it, such as one that multiprocessing starts by 'spawn'."
            )
        images = keras.ops.convert_to_tensor(images)
        if tuple(images.shape[1:]) != tuple(shape) or images.shape[0] == 0:
            raise ValueError(
                f"compact takes a batch of images, [batch, {', '.join(map(str, shape))}], got shape "
                f"{tuple(images.shape)}."
            )
        numbers = keras.ops.cast(images, "float32")
        if images.dtype.is_floating and tf.executing_eagerly() and not tf.reduce_all(tf.math.is_finite(numbers)):
            check_images(numbers)  # says which
        return outcome(numbers)

    run.compiled = outcome  # type: ignore[attr-defined]  # so that its traces can be counted
    return run


class _CompactExecutor(MaskedExecutor):
    """Runs each part on the sub-batch that needs it."""

    def run(self, unit, x, decision, training=None, **parts):
        """Returns unit.call(x, decision), with the branch run only on the images whose decision is 1."""
        if isinstance(decision, bool):
            return super().run(unit, x, decision, training, **parts)
        executor = {"executor": parts.pop("executor")} if unit.nested else {}
        inputs = {"x": x, "parts": parts}

        def branch(some):
            return unit.branch(some["x"], training=training, **some["parts"], **executor)

        def skipped(some, ran):
            y = unit.otherwise(some["x"], training)
            return (y, _zeros(ran[1], keras.tree.flatten(some["x"])[0])) if unit.nested else y

        def mixed():
            return _either(decision, branch, skipped, inputs)

        if unit.nested:
            taken, inner = mixed()
            return unit.combine(x, taken), inner
        everybody = keras.ops.all(keras.ops.cast(decision, "bool"))
        return unit.combine(x, keras.ops.cond(everybody, lambda: branch(inputs), mixed))

    def run_rest(self, decision, rest, state):
        """Returns the result of the rest of the chain after an exit, run on the images that go on."""

        def stopped(some, later):
            return _zeros(later, some.logits)._replace(logits=some.logits)

        return _either(decision, rest, stopped, state)


def _either(decision, function, otherwise, inputs):
    """Returns function(inputs) for the rows whose decision is 1, and otherwise(inputs) for the others.

    Args:
        decision: bool or float 0/1 tensor, [batch].
        function: from a nest like `inputs` to a nest of tensors, [some, ...]; not called where no row is 1.
        otherwise: from a nest like `inputs`, and the function's results or their specs, to a nest like the results.
        inputs: nest of tensors, [batch, ...]; leaves that are no tensors are passed unchanged.

    Returns:
        Nest of tensors, [batch, ...]. A leaf that the function returns unchanged is the input's.
    """
    import tensorflow as tf

    decision = tf.cast(decision, tf.bool)
    on, off = (tf.cast(tf.where(chosen)[:, 0], tf.int32) for chosen in (decision, ~decision))
    tensors = [leaf for leaf in keras.tree.flatten(inputs) if tf.is_tensor(leaf)]
    found = []

    def like_inputs(leaves):
        leaves = iter(leaves)
        return keras.tree.map_structure(lambda leaf: next(leaves) if tf.is_tensor(leaf) else leaf, inputs)

    def rows(which):
        return [tf.gather(leaf, which) for leaf in tensors]

    def some():
        taken = rows(on)
        found.append(function(like_inputs(taken)))
        whole = {id(few): leaf for few, leaf in zip(taken, tensors, strict=True)}
        others = keras.tree.flatten(otherwise(like_inputs(rows(off)), found[0]))

        def put_back(ran, other):
            return whole[id(ran)] if id(ran) in whole else tf.dynamic_stitch([on, off], [ran, other])

        return [put_back(*pair) for pair in zip(keras.tree.flatten(found[0]), others, strict=True)]

    def none():
        specs = keras.tree.map_structure(lambda leaf: tf.TensorSpec(leaf.shape, leaf.dtype), found[0])
        return keras.tree.flatten(otherwise(inputs, specs))

    joined = tf.cond(tf.size(on) > 0, some, none)
    return keras.tree.pack_sequence_as(found[0], joined)


def _zeros(nest, rows):
    """Returns zeros of a nest's shapes, with the batch size of the tensor `rows`."""
    count = keras.ops.shape(rows)[0]
    return keras.tree.map_structure(lambda leaf: keras.ops.zeros((count, *leaf.shape[1:]), leaf.dtype), nest)
