"""Functional and sequential Keras models as chains: where a model can be cut, and which of its parts can be skipped."""

import itertools
import re
from typing import Any, NamedTuple

import keras

from keras_dynamic import keras_hooks
from keras_dynamic.cost import tree
from keras_dynamic.cost.rules import substituted, tensors_of
from keras_dynamic.layers.chain import Chain
from keras_dynamic.layers.logits_end import logits_model
from keras_dynamic.layers.units import Concatenated, Residual

# Operations of keras.ops that a residual unit can apply after its sum, by the name of their class.
_ACTIVATIONS = {"Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Silu": "silu", "Tanh": "tanh"}
_ELEMENTWISE = (*_ACTIVATIONS.values(), "elu", "gelu", "hard_silu", "leaky_relu", "selu", "softplus")


def from_functional(model, copy=True) -> Chain:
    """Returns a functional or sequential Keras model as a chain, with its weights and its logits.

    The model is cut at the tensors through which everything passes. A part between two of them that ends in the sum of
    its input (or of a projection of it) and something else is a Residual unit, which can be skipped, with the
    activation after the sum; one that ends in the concatenation of its input and something else is a Concatenated
    unit. What lies between such units always runs, as one unit; so does, in a model without any, each convolution or
    dense layer with what follows it: there exits can be attached, but nothing can be skipped. A model that cannot be
    cut is one such unit.

        chain = kd.models.from_functional(keras.applications.MobileNetV2(weights=None))
        model = kd.methods.ActivationGating(chain, target=0.6)

    Methods, transforms, `cascade` and `lite.export` take such a model directly, and call this. Models inside the model
    are taken apart. A softmax or sigmoid at the end is taken off, since losses and decisions take logits: compile with
    from_logits=True.

    Args:
        model: functional or sequential keras.Model, built, with one input of known size, [batch, ...], and one output.
        copy: True copies the layers and their weights, and leaves the model as it is; False uses its layers
            themselves, but for a last layer whose softmax or sigmoid is taken off; those of models inside it may get
            other names, where two have the same.

    Returns:
        Chain, built. Units have the names of the sums that end them ('block_2' for 'block_2_add'), or 'unit1', 'unit2'
        ... where Keras has named these; units that always run that of their first layer with weights.

    Raises:
        ValueError: if the model is neither functional nor sequential, is not built, has several inputs or outputs or
            sizes that are not known, makes masks, has a Lambda layer or one without a cost rule, or one that is called
            both by itself and inside another.
    """
    _check(model)
    graph = _Graph(logits_model(_copied(model) if copy else model))
    parts = _units(graph) or _plain_units(graph) or [_Part(None, -1, _before_head(graph))]
    first, last = parts[0].start, parts[-1].end
    stem, head = graph.block(-1, first, "stem"), graph.block(last, len(graph.calls) - 1, "head")
    chain = Chain(stem, [graph.unit(part) for part in parts], head, name="chain")
    chain.build(graph.image.shape)
    return chain


def _copied(model):
    """Returns a copy of a model with its weights, and with what its normalisations computed from theirs."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    for layer in keras_hooks.all_layers(twin):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return twin


def _check(model):
    """Raises a ValueError unless a model can be looked into."""
    if not isinstance(model, keras.Model) or not keras_hooks.graph_is_known(model):
        advice = "build it with keras.Model(inputs, outputs), or put its layers into kd.layers.Chain"
        if isinstance(model, keras.Sequential):
            advice = "begin it with keras.Input(shape), or call it on a batch"
        elif isinstance(model, keras.Model):
            advice = f"Keras cannot look into the call method of {type(model).__name__}: {advice}"
        kind = type(model).__name__
        raise ValueError(
            f"from_functional takes a built functional or sequential Keras model, got {kind} "
            f"{getattr(model, 'name', model)!r}; {advice}."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model {model.name!r} must have one input and one output, got {len(model.inputs)} and "
            f"{len(model.outputs)}; join the inputs into one tensor and split it inside, and keep one output."
        )
    shape = tuple(model.inputs[0].shape)
    if None in shape[1:]:
        raise ValueError(
            f"model {model.name!r} takes inputs of shape {shape}, and its cost depends on the sizes that are None; "
            "build it for one size, e.g. keras.Input((224, 224, 3))."
        )
    lambdas = [layer.name for layer in keras_hooks.all_layers(model) if isinstance(layer, keras.layers.Lambda)]
    if lambdas:
        raise ValueError(
            f"model {model.name!r} has the Lambda layers {lambdas}, whose code can be neither saved nor counted; write "
            "them with keras.ops, or as classes derived from keras.layers.Layer."
        )
    masking = [
        layer.name
        for layer in keras_hooks.all_layers(model)
        if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False)
    ]
    if masking:
        raise ValueError(
            f"model {model.name!r} makes masks in {masking}, which are lost where it is cut; take sequences of one "
            "length without masks, e.g. Embedding(mask_zero=False)."
        )
    shared = _shared(model)
    if shared is not None:
        raise ValueError(
            f"model {model.name!r} has layer {shared.name!r} in two places, one of them inside another layer or model, "
            "so that a copy would have its weights twice; give each place a layer of its own."
        )


def _shared(model):
    """Returns a layer with weights that two operations of a model contain, or None."""
    owners: dict[int, Any] = {}
    for operation in {id(node.operation): node.operation for node in keras_hooks.graph_nodes(model)}.values():
        if not isinstance(operation, keras.layers.Layer):
            continue
        for layer in keras_hooks.all_layers(operation):
            if layer.weights and owners.setdefault(id(layer), operation) is not operation:
                return layer
        within = _shared(operation) if keras_hooks.graph_is_known(operation) else None
        if within is not None:
            return within
    return None


class _Call(NamedTuple):
    """One call of an operation in a flat graph; tensors are KerasTensors."""

    operation: Any
    args: tuple
    kwargs: dict
    outputs: list

    @property
    def inputs(self):
        return tensors_of((self.args, self.kwargs))


class _Part(NamedTuple):
    """What becomes a unit: the calls after call `start` up to call `end`, joined by the call `joint`.

    shortcut and body are the tensors of the two sides, `activation` what follows the sum; kind is the class of the
    unit, None for one that always runs.
    """

    kind: Any
    start: int
    end: int
    joint: int = -1
    shortcut: Any = None
    body: tuple = ()
    activation: str | None = None


class _Graph:
    """A model's calls in order of execution, models inside taken apart, and where it can be cut.

    A place is the index of the call whose output passes it; -1 is the image.
    """

    def __init__(self, model):
        self.calls: list[_Call] = []
        self.image = model.inputs[0]
        self.output = _flatten(model, self.image, self.calls)
        self.made = {id(output): index for index, call in enumerate(self.calls) for output in call.outputs}
        self.made[id(self.image)] = -1
        del self.calls[self.made[id(self.output)] + 1 :]
        self.macs = [_macs(call) for call in self.calls]
        self.names: set[str] = set()
        self.taken = {call.operation.name for call in self.calls}
        self.uses: dict[int, int] = {}
        self.places = self._places()

    def _places(self):
        """Returns the places through which everything passes, the image's and the output's too."""
        last_use = {id(self.output): len(self.calls)}
        of_layer: dict[int, int] = {}
        for index, call in enumerate(self.calls):
            last_use.update((id(tensor), index) for tensor in call.inputs)
            if getattr(call.operation, "weights", None):  # a layer is in one part, however often it is called
                of_layer[id(call.operation)] = index
        places, open_until, before = [-1], -1, self.image
        for index, call in enumerate(self.calls):
            open_until = max(open_until, last_use.get(id(before), -1), of_layer.get(id(call.operation), -1))
            x = call.outputs[0]
            alone = len(call.outputs) == 1 and open_until <= index
            if alone and len(x.shape) > 1 and keras.backend.is_float_dtype(x.dtype):
                places.append(index)
            open_until = max([open_until, *(last_use.get(id(tensor), -1) for tensor in call.outputs[1:])])
            before = x
        if places[-1] != len(self.calls) - 1:
            places.append(len(self.calls) - 1)
        return places

    def tensor(self, place):
        """Returns the tensor that passes a place."""
        return self.image if place < 0 else self.calls[place].outputs[0]

    def side(self, place, tensor):
        """Returns the indices of the calls after a place of which a tensor is made, in order."""
        found, open_ = set(), [tensor]
        while open_:
            index = self.made[id(open_.pop())]
            if index > place and index not in found:
                found.add(index)
                open_ += self.calls[index].inputs
        return sorted(found)

    def block(self, start, end, name):
        """Returns the calls from one place to another as a layer."""
        return self.layer(self.tensor(start), self.side(start, self.tensor(end)), [self.tensor(end)], name)

    def layer(self, x, indices, outputs, name):
        """Returns calls as a layer from tensor x to the sum of output tensors: a Sequential where they are one line."""
        calls = [self.calls[index] for index in indices]
        if not calls:
            return keras.layers.Identity(name=name)
        operations = [self._own(call.operation) for call in calls]
        self._rename(operations)
        if len(outputs) == 1 and _is_line(x, calls) and len({id(each) for each in operations}) == len(operations):
            return keras.Sequential(operations, name=name)
        given = keras.Input(batch_shape=x.shape, dtype=x.dtype)
        known = {id(x): given}
        for call, operation in zip(calls, operations, strict=True):
            args, kwargs = substituted((call.args, call.kwargs), known)
            results = tensors_of(operation(*args, **kwargs))
            known.update((id(old), new) for old, new in zip(call.outputs, results, strict=True))
        results = [known[id(output)] for output in outputs]
        return keras.Model(given, results[0] if len(results) == 1 else keras.layers.Add()(results), name=name)

    def _own(self, operation):
        """Returns an operation, or a copy if it has no weights and was used before, as a saved model holds it once."""
        uses = self.uses[id(operation)] = self.uses.get(id(operation), 0) + 1
        if uses == 1 or not isinstance(operation, keras.layers.Layer) or operation.weights:
            return operation
        return type(operation).from_config({**operation.get_config(), "name": f"{operation.name}_use{uses}"})

    def _rename(self, operations):
        """Gives operations of one layer that share a name, from models inside the model, names of their own."""
        seen: dict[str, Any] = {}
        for operation in operations:
            if seen.setdefault(operation.name, operation) is not operation:
                operation.name = _free(operation.name, {*seen, *self.taken})
                seen[operation.name] = operation
            self.taken.add(operation.name)

    def unit(self, part):
        """Returns a part as a unit, with a name that no other has."""
        if part.kind is None:
            weighted = [each.operation for each in self.calls[part.start + 1 : part.end + 1] if _weighted(each)]
            return self.block(part.start, part.end, self._named(weighted[0].name if weighted else "layers"))
        x = self.tensor(part.start)
        sides = [[] if part.shortcut is None else self.side(part.start, part.shortcut)]
        sides.append(sorted({index for tensor in part.body for index in self.side(part.start, tensor)}))
        joint = self.calls[part.joint]
        name, dtype = self._named(joint.operation.name), _dtype(joint)
        body = self.layer(x, sides[1], list(part.body), "body")
        if part.kind is Concatenated:
            return Concatenated(body, name=name, dtype=dtype)
        shortcut = None if part.shortcut is None else self.layer(x, sides[0], [part.shortcut], "shortcut")
        return Residual(body, shortcut, part.activation, name=name, dtype=dtype)

    def _named(self, name):
        """Returns the name of a unit that a layer of this name begins or ends."""
        if re.fullmatch(r"(add|concatenate)(_\d+)?", name):
            name = f"unit{1 + sum(bool(re.fullmatch(r'unit[0-9]+', each)) for each in self.names)}"
        name = re.sub(r"[\[\]/]", "_", re.sub(r"_(add|concat|out)$", "", name))
        free = _free(name, self.names)
        self.names.add(free)
        return free


def _flatten(model, x, calls):
    """Appends the calls of a model on tensor x to `calls`, and returns its output.

    A call's own `training` is left out, as Keras replaces it by that of the model wherever one is given.
    """
    known = {id(model.inputs[0]): x}
    for node in keras_hooks.graph_nodes(model):
        operation = node.operation
        args, kwargs = substituted((node.arguments.args, node.arguments.kwargs), known)
        kwargs = {
            name: value for name, value in kwargs.items() if name != "training" and (name, value) != ("mask", None)
        }
        inside = tensors_of((args, kwargs))
        taken_apart = isinstance(operation, keras.Model) and keras_hooks.graph_is_known(operation)
        if taken_apart and len(operation.inputs) == len(operation.outputs) == len(inside) == 1:
            outputs = [_flatten(operation, inside[0], calls)]
        else:
            before = tensors_of((node.arguments.args, node.arguments.kwargs))
            as_built = all(new.shape == old.shape for new, old in zip(inside, before, strict=True))
            made = node.outputs if as_built else tensors_of(operation.compute_output_spec(*args, **kwargs))
            outputs = [keras.KerasTensor(tensor.shape, dtype=tensor.dtype) for tensor in made]
            calls.append(_Call(operation, tuple(args), dict(kwargs), outputs))
        known.update((id(old), new) for old, new in zip(node.outputs, outputs, strict=True))
    return known[id(model.outputs[0])]


def _free(name, taken):
    """Returns a name, with a number if it is taken."""
    tried = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(each for each in tried if each not in taken)


def _macs(call):
    inputs = call.inputs
    return tree(call.operation, inputs[0] if len(inputs) == 1 else inputs).total_macs


def _dtype(call):
    """Returns the dtype policy of a call; one without its own, as of x + y, computes in the dtype of its output."""
    dtype = call.outputs[0].dtype
    return getattr(call.operation, "dtype_policy", f"mixed_{dtype}" if "16" in dtype else dtype)


def _weighted(call):
    return bool(getattr(call.operation, "weights", None))


def _is_line(x, calls):
    """Returns whether calls are of layers alone, each on the output of the one before and nothing else."""
    for call in calls:
        plain = isinstance(call.operation, keras.layers.Layer) and len(call.outputs) == 1 and not call.kwargs
        if not plain or len(call.args) != 1 or call.args[0] is not x:
            return False
        x = call.outputs[0]
    return True


def _units(graph) -> list[_Part]:
    """Returns the parts of a model that has units which can be skipped, from the first to the last of these."""
    found: list[_Part] = []
    for start, end in itertools.pairwise(graph.places):
        part = _residual(graph, start, end) or _concatenated(graph, start, end)
        if part is None and found and found[-1].end == start and found[-1].kind is Residual:
            joint, after = graph.calls[start], graph.calls[end]
            one = end == start + 1 and after.outputs[0].dtype == joint.outputs[0].dtype and not _regularizer(after)
            activation = _activation(after.operation) if one else None
            if activation is not None and found[-1].activation is None:
                found[-1] = found[-1]._replace(end=end, activation=activation)
        elif part is not None:
            if found and found[-1].end != start:
                found.append(_Part(None, found[-1].end, start))
            found.append(part)
    return found


def _residual(graph, start, end):
    """Returns the part between two places as a residual unit, or None."""
    call = graph.calls[end]
    summands = call.inputs
    x, y = graph.tensor(start), call.outputs[0]
    if type(call.operation).__name__ != "Add" or len(summands) < 2 or start < 0 or _regularizer(call):
        return None
    if any(tuple(each.shape) != tuple(y.shape) for each in summands):
        return None
    same = [each is x for each in summands]
    if sum(same) == 1:
        return _Part(Residual, start, end, end, None, tuple(each for each in summands if each is not x))
    if any(same) or len(summands) != 2:
        return None
    sides = [graph.side(start, each) for each in summands]
    if set(sides[0]) & set(sides[1]):
        return None
    macs = [sum(graph.macs[index] for index in side) for side in sides]
    order = sorted((0, 1), key=lambda place: (macs[place], len(sides[place])))
    shortcut, body = order
    line = _is_line(x, [graph.calls[index] for index in sides[shortcut]])
    counted = sum(graph.macs[index] > 0 for index in sides[shortcut])
    if not line or counted > 1 or macs[body] == 0:
        return None
    return _Part(Residual, start, end, end, summands[shortcut], (summands[body],))


def _concatenated(graph, start, end):
    """Returns the part between two places as a concatenating unit, or None."""
    call, x = graph.calls[end], graph.tensor(start)
    operation, joined = call.operation, call.inputs
    if type(operation).__name__ != "Concatenate" or start < 0 or len(joined) != 2 or _regularizer(call):
        return None
    last = getattr(operation, "axis", None) in (-1, len(x.shape) - 1)
    if not last or joined[0] is not x or joined[1] is x:
        return None
    return _Part(Concatenated, start, end, end, None, (joined[1],))


def _regularizer(call):
    """Returns what a call adds to the loss for its output, which a unit in its place would not, or None."""
    return getattr(call.operation, "activity_regularizer", None)


def _activation(operation):
    """Returns the name of the activation function that an operation is, or None."""
    if type(operation) is keras.layers.ReLU:
        plain = not operation.negative_slope and not operation.threshold
        return {None: "relu", 6.0: "relu6"}.get(operation.max_value) if plain else None
    if type(operation) is keras.layers.Activation:
        named = [name for name in _ELEMENTWISE if keras.activations.get(name) is operation.activation]
        return named[0] if named else None
    return _ACTIVATIONS.get(type(operation).__name__)


def _plain_units(graph) -> list[_Part]:
    """Returns the parts of a model without units that can be skipped: one for each layer that has MACs."""
    rank = len(graph.image.shape)
    places = [place for place in graph.places if len(graph.tensor(place).shape) == rank]
    bounds = [start for start, end in itertools.pairwise(places) if sum(graph.macs[start + 1 : end + 1])]
    if rank > 2 and places[-1] not in bounds:
        bounds.append(places[-1])  # the head begins where maps end
    bounds = [place for place in bounds if place < len(graph.calls) - 1]
    bounds = bounds[1:] if len(bounds) > 2 and bounds[0] < 0 else bounds  # the first layer is the stem
    return [_Part(None, start, end) for start, end in itertools.pairwise(bounds)]


def _before_head(graph):
    """Returns the last place before something that has MACs, in a model that is a unit and a head; else the last."""
    inside = [place for place in graph.places[1:-1] if sum(graph.macs[place + 1 :])]
    return inside[-1] if inside else graph.places[-1]
