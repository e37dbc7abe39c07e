"""What the groups of a ChannelGroups cost."""

from keras import layers

from keras_dynamic.cost import Guard, Node, output_spec, tree
from keras_dynamic.layers.slim import grouped_layers


def group_nodes(body, x, guards: list[Guard | None]) -> list[Node]:
    """Returns the cost of the forced groups, that of each other group under its guard, and what comes behind them.

    The first convolution's MACs are shared out among pairs of an input group and a group, the second's among pairs of a
    group and an output group. A pair runs if both do: active input, expansion and output channels multiply.

    Args:
        body: built ChannelGroups.
        x: spec of what its `expand` reads.
        guards: Guard or None, for each of body.labels.

    Returns:
        List of Node.

    Source: Herrmann et al., section 3.4.
    """
    shared, behind = grouped_layers(body)
    counted = []
    for layer in [*shared, *behind]:
        counted.append(tree(layer, x))
        x = output_spec(layer, x)
    own = counted[: len(shared)]
    first, second = (part.total_macs for part, layer in zip(own, shared, strict=True) if type(layer) is layers.Conv2D)
    inputs, groups, outputs = body.split(list(guards))
    read, number, given = body.counts
    rest = (sum(part.total_macs for part in own) - first - second) // number
    pairs = [(first // (read * number), read, inputs), (second // (number * given), given, outputs)]
    parameters = sum(part.total_parameters for part in own)

    def node(name, count, guard, parameters):
        always = count * (rest + sum(macs * (all_ - len(free)) for macs, all_, free in pairs))
        paired = tuple(Node(f"{name}_pair", count * macs, when=other) for macs, _, free in pairs for other in free)
        return Node(name, always, parameters, when=guard, children=paired)

    each = parameters // number
    forced = node("forced", number - len(groups), None, parameters - each * len(groups))
    free = [node(f"group{body.forced + k}", 1, guard, each) for k, guard in enumerate(groups)]
    return [forced, *free, *(_shared_out(part, given, outputs) for part in counted[len(shared) :])]


def _shared_out(part, number, guards):
    """Returns the cost of a layer behind the second convolution, whose channels are output groups."""
    each = part.macs // number
    if not each or not guards:
        return part
    free = tuple(Node(f"{part.name}_group", each, when=guard) for guard in guards)
    return part._replace(macs=part.macs - each * len(free), children=(*part.children, *free))
