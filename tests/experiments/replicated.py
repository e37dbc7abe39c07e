"""A method trained for twenty steps on one device or on two replicas; as a script it prints losses, one line of JSON.

    python replicated.py DEVICES METHOD ...

DEVICES: '' for one device, 'mirrored' for two CPU devices, 'workers' with TF_CONFIG.
"""

import json
import os
import sys

STEPS, BATCH = 20, 6


def build(method):
    """Returns a model without noise whose losses are means over images: the parts of a batch count as the whole."""
    import keras
    from keras import layers

    from keras_dynamic import deciders, methods, models
    from tests.methods.answering import network

    if method == "gating":
        gates = deciders.PerUnitGates(noise=False)
        return methods.ActivationGating(network(exits=False), gates, 0.5, activation_weight=0.0)
    if method == "blockdrop":
        surely = layers.Dense(2, kernel_initializer="zeros", bias_initializer="ones")
        image = layers.Input((8, 8, 3))
        # At a scale of 50 every sample is the most probable decision.
        policy = keras.Model(image, 50.0 * surely(layers.GlobalAveragePooling2D()(image)))
        return methods.BlockDrop(network(exits=False), deciders.Policy(policy, alpha=1.0), "finetuning")
    if method == "sgad":
        bmnet = deciders.BinaryMaskNetwork(grid=2, open_probability=0.5)
        return methods.SGAD(network(exits=False), bmnet, models.guideline_network(3, (4,)))
    if method == "imta":
        return methods.IMTA(network(), exit_weights=[2.0, 0.5], alpha=0.5)
    return methods.DDI(network(exits=False))


def losses(method, used) -> dict:
    """Returns {name: number of each epoch}: losses and metrics, of the training and of all images after each epoch."""
    import keras

    from keras_dynamic import data, keras_hooks
    from tests.methods.answering import CLASSES, IMAGES

    keras.utils.set_random_seed(0)
    with used.building():
        model = build(method)
        model.build((None, 8, 8, 3))
        for layer in keras_hooks.all_layers(model):  # batch norm of deciders; replicas have statistics of their own
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    batches = data.Batches(IMAGES, CLASSES, BATCH)
    used.check_batches(BATCH, len(IMAGES))
    epochs = STEPS * BATCH // len(IMAGES)
    with used.fitting():
        fitted = model.fit(batches, epochs=epochs, validation_data=(IMAGES, CLASSES), shuffle=False, verbose=0)
    return {name: [float(value) for value in values] for name, values in fitted.history.items()}


def main(name, *methods):
    """Prints the losses of some methods."""
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"  # where the backend is JAX
    import keras

    if keras.backend.backend() == "tensorflow" and name == "mirrored":
        import tensorflow as tf

        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    from keras_dynamic.experiments.strategy import devices

    used = devices(name)
    found = {method: losses(method, used) for method in methods}
    sys.stdout.write(json.dumps({"replicas": used.replicas, **found}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
