"""A train step on TensorFlow, written out with tf.GradientTape."""

import keras

from keras_dynamic import keras_hooks


def tape_step(model, data):
    """Runs one step of a model whose loss is compute_loss on what it gives for x, and updates weights and metrics.

    The tape watches the trainable weights alone. Work that depends on none of them is not recorded: a frozen chain, and
    whatever ran on decisions without gradient.

    Args:
        model: compiled keras.Model on the TensorFlow backend.
        data: (x, y) or (x, y, sample_weight).

    Returns:
        {metric name: value}.

    Raises:
        ValueError: if nothing can be trained.
    """
    import tensorflow as tf

    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if not model.built:  # the first trace of fit
        model.build(keras.tree.map_structure(lambda tensor: tensor.shape, x))
    trained = model.trainable_weights
    if not trained:
        raise ValueError(f"model {model.name!r} has no trainable weights; set trainable=True on what shall learn.")
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([variable.value for variable in trained])
        outcome = model(x, training=True)
        loss = model.compute_loss(x=x, y=y, y_pred=outcome, sample_weight=sample_weight, training=True)
        scaled = model.optimizer.scale_loss(loss)
    model.optimizer.apply_gradients(zip(tape.gradient(scaled, trained), trained, strict=True))
    images = keras.ops.shape(keras.tree.flatten(x)[0])[0]
    whole = loss * tf.distribute.get_strategy().num_replicas_in_sync  # compute_loss has divided by the replicas
    keras_hooks.loss_tracker(model).update_state(whole, sample_weight=images)
    return model.compute_metrics(x, y, outcome, sample_weight=sample_weight)
