"""Runs the core on Keras' JAX backend where TensorFlow and every other optional package are missing (test_jax.py)."""

import importlib.abc
import importlib.metadata
import sys

# What the extras other than jax bring.
MISSING = {
    "ai_edge_litert",
    "flatbuffers",
    "tensorflow",
    "tensorflow_datasets",
    "tensorflow_model_optimization",
    "tf_keras",
    "tflite_micro",
    "tflite_runtime",
}

CORE = ["ops", "cost", "layers", "deciders", "models", "losses", "metrics", "callbacks", "methods", "data", "report"]


class Absent(importlib.abc.MetaPathFinder):
    """Makes some packages look uninstalled."""

    def find_spec(self, fullname, path=None, target=None):
        """Refuses the packages of MISSING and leaves the others to the finders behind."""
        if fullname.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {fullname!r} (this process does without it)", name=fullname)


def import_core():
    """Imports every package of the core; each must do without the missing ones."""
    for name in ["keras_dynamic", *(f"keras_dynamic.{part}" for part in CORE)]:
        importlib.import_module(name)


def train_gated() -> tuple[float, float]:
    """Trains a tiny gated ResNet on random images; returns the loss of the first and of the last epoch."""
    import keras
    import numpy as np

    import keras_dynamic as kd

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3)).astype("uint8")
    labels = np.arange(32) % 2
    chain = kd.models.resnet_cifar(depth=8, num_classes=2, width=4).chain
    model = kd.methods.ActivationGating(chain, target=0.6)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    losses = model.fit(images, labels, batch_size=16, epochs=4, verbose=0).history["loss"]
    return losses[0], losses[-1]


def train_networks() -> dict[str, list[float]]:
    """Trains a policy for each image size, an ImageNet ResNet and dense networks, all tiny; returns their losses."""
    import keras
    import numpy as np

    import keras_dynamic as kd

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype("uint8")
    targets = np.random.default_rng(1).integers(0, 2, (8, 5)).astype("float32")
    tiny = {"block": "basic", "width": 4}
    networks = {
        "policy_32": kd.models.policy_resnet(5, trunk=kd.models.resnet_cifar(8, width=4)),
        "policy_224": kd.models.policy_resnet(5, 224, trunk=kd.models.resnet_imagenet((1, 1), **tiny)),
        "policy_recurrent": kd.models.policy_recurrent(5, trunk=kd.models.resnet_cifar(8, width=4), hidden=8),
        "imagenet": kd.models.resnet_imagenet((1, 1), num_classes=5, **tiny),
        "densenet": kd.models.densenet_bc(10, growth=4, num_classes=5),
        "msdnet": kd.models.msdnet(5, blocks=2, step_mode="even", channels=4, growth=2, growth_factors=(1, 2)),
    }
    losses = {}
    for name, network in networks.items():
        network.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True))
        losses[name] = network.fit(images, targets, epochs=8, verbose=0).history["loss"]
    return losses


def train_guided() -> dict[str, list[float]]:
    """Trains SGAD from scratch on tiny images.

    Returns:
        guided: losses per epoch under growing noise; of one step before it, without noise, guided_step: its loss and
        that by hand, and guided_moved: how far it moved what learns, at least and at most.
    """
    import keras
    import numpy as np

    import keras_dynamic as kd
    from tests.methods.guided import losses_by_hand, shades
    from tests.methods.learning import chain, compiled

    keras.utils.set_random_seed(0)
    array = keras.ops.convert_to_numpy
    images, labels, _ = shades(32)
    bmnet = kd.deciders.BinaryMaskNetwork(grid=2, open_probability=0.5, seed=0)
    model = kd.methods.SGAD(chain(3), bmnet, kd.models.guideline_network(3, (4,)), task_weight=2.0, mask_weight=3.0)
    compiled(model)
    model.build((None, 8, 8, 3))
    by_hand = losses_by_hand(model, images, labels)
    learning = [*model.decider.trainable_variables, *model.guideline.variables]  # batch norm's statistics too
    before = [array(variable) for variable in learning]
    loss = model.train_on_batch(images, labels, return_dict=True)["loss"]
    moved = [np.abs(array(variable) - start).max() for variable, start in zip(learning, before, strict=True)]
    noise = kd.callbacks.GrowNoise([0.0, 0.1, 0.5])
    history = model.fit(images, labels, batch_size=16, epochs=8, callbacks=[noise], verbose=0).history
    wanted = 2 * by_hand["task"] + 3 * by_hand["mask"] + 0.3 * by_hand["guideline"]
    return {"guided": history["loss"], "guided_step": [loss, wanted], "guided_moved": [min(moved), max(moved)]}


def train_channels() -> tuple[float, float]:
    """Trains gates on channel groups on random images; returns the loss of the first and of the last epoch."""
    import keras
    import numpy as np

    import keras_dynamic as kd
    from tests.layers.grouped import chain
    from tests.methods.learning import compiled

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3)).astype("uint8")
    model = kd.methods.ActivationGating(chain(), kd.deciders.ChannelGates(seed=0), target=0.6, activation_loss="macs")
    losses = compiled(model).fit(images, np.arange(32) % 3, batch_size=16, epochs=6, verbose=0).history["loss"]
    return losses[0], losses[-1]


def main(part):
    """Prints one line of 'name: result' for each thing that worked.

    Args:
        part: 'core' or 'methods', which takes longer.
    """
    sys.meta_path.insert(0, Absent())
    import keras

    print(f"backend: {keras.backend.backend()}")
    import_core()
    print("imported: core")
    if part == "core":
        from tests.layers.grouped import outcome_by_numbers

        print("channel_groups:", *outcome_by_numbers())
    else:
        first, last = train_gated()
        print(f"losses: {first} {last}")
        for name, (first, *_, last) in (train_networks() | train_guided()).items():
            print(f"{name}: {first} {last}")
        first, last = train_channels()
        print(f"channels: {first} {last}")
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & MISSING)
    print(f"loaded: {loaded}")


if __name__ == "__main__":
    main(sys.argv[1])
