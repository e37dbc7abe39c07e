"""The exits of a network made to go on from each other's answers."""

import keras
from keras import layers

from keras_dynamic.layers import Collaborative, DynamicModel, Exit
from keras_dynamic.messages import is_count


def collaborate(network, hidden=0, share=1.0) -> DynamicModel:
    """Returns the network with inline subnetwork collaboration: each classifier gets the logits of the exit before.

    The very layers are taken over, so give it a network that nothing else uses.

        network = kd.models.msdnet(...)
        phase_two = kd.methods.IMTA(kd.models.collaborate(network, hidden=100).chain, alpha=0.5, classifiers_only=True)

    Args:
        network: built DynamicModel with exits.
        hidden: width of the small dense network that logits pass through (dense, batch norm, ReLU, dense), whose last
            weights are 0 at first, so that answers stay as they are; 0 for the identity, which changes them.
        share: of the logits before that is added, a positive number. With hidden=0 and some 0.5 the exits of a trained
            network answer as an ensemble, and nothing more is trained.

    Returns:
        DynamicModel, built, in which everything runs.

    Raises:
        ValueError: if the network has no exits, its exits collaborate already, hidden is negative, or share is not
            positive.

    Source: IMTA, section 3.2; the small dense network is that of the authors' code.
    """
    if not is_count(hidden, 0):
        raise ValueError(f"hidden must be a width of at least 0, got {hidden!r}; 0 is the identity.")
    chain = network.chain
    if not chain.exits or not chain.built:
        unbuilt = "" if chain.built else " that is not built"
        raise ValueError(
            f"collaborate takes a built network with exits, got {network.name!r} with {len(chain.exits)} "
            f"exits{unbuilt}; give Chain exits=[Exit(...), ...], and call the network on a batch of images first."
        )
    ordered = [step.exit for step in chain.steps() if step.exit is not None]
    if any(isinstance(head, Collaborative) for head in [*(each.head for each in ordered), chain.head]):
        raise ValueError(f"the exits of {network.name!r} collaborate already; give it the plain network.")
    classes = chain.answer_specs[-1].shape[-1]

    def joined(head, name):
        return Collaborative(head, _transfer(hidden, classes) if hidden else None, share, name=f"{name}_collaborative")

    first, *later = ordered
    exits = [first, *(Exit(joined(each.head, each.name), each.after, each.leaf, name=each.name) for each in later)]
    head = joined(chain.head, "head")
    made = DynamicModel(chain.replace(head=head, exits=exits), name=network.name, dtype=network.dtype_policy)
    made.build(network.image_shape)
    return made


def _transfer(hidden, classes):
    return keras.Sequential(
        [
            layers.Dense(hidden, use_bias=False, name="dense"),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name="norm"),
            layers.ReLU(name="relu"),
            layers.Dense(classes, use_bias=False, kernel_initializer="zeros", name="logits"),
        ],
        name="transfer",
    )
