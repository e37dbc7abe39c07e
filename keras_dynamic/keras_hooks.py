"""The parts of Keras without a public name that this library uses, all in one place.

tests/test_keras_hooks.py checks each of them on the installed Keras; setup.py bounds the version.
"""

import keras


def all_layers(layer, include_self=True):
    """Returns a layer and all layers inside it, at any depth."""
    return list(layer._flatten_layers(include_self=include_self))


def own_metrics(layer):
    """Returns the metrics that a layer itself has made, without those of layers inside it."""
    return list(layer._metrics)


def takes_training(layer) -> bool:
    """Returns whether a layer's call has the argument `training`."""
    return layer._call_has_training_arg


def allow_other_arguments(layer):
    """Lets a layer be called with positional arguments that are no tensors, such as a decider."""
    layer._allow_non_tensor_positional_args = True


def compiled_loss(model):
    """Returns the loss that a model was compiled with, a function of (y, y_pred, sample_weight), or None."""
    return model._compile_loss


def per_replica(model, loss):
    """Returns a further loss as compute_loss adds it: tf.distribute needs it divided by the replicas."""
    return model._aggregate_additional_loss(loss)


class AcrossWorkers(keras.Model):
    """A keras.Model whose fit and evaluate work under tf.distribute.MultiWorkerMirroredStrategy too.

    Keras reduces a step's input as a whole, and its results along their first axis: that strategy reduces one tensor at
    a time, and scalars have no axis.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        strategy = self._distribute_strategy
        if iterator is not None and strategy is not None:
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(
                lambda part: strategy.experimental_local_results(part)[0], next(batches)
            )
            iterator = None  # one replica's part is enough to build the model
        super()._maybe_symbolic_build(iterator, data_batch)

    def _make_function(self, step_function, *args, **kwargs):
        strategy = getattr(self, "_distribute_strategy", None)
        step = step_function
        if strategy is not None and strategy.extended._in_multi_worker_mode():

            def step(data):
                return keras.tree.map_structure(lambda result: keras.ops.reshape(result, (1,)), step_function(data))

        return super()._make_function(step, *args, **kwargs)


def loss_tracker(model):
    """Returns the metric that shows a model's loss in the progress bar."""
    return model._loss_tracker


def origin(tensor):
    """Returns the operation that made a symbolic tensor in its own graph, and that operation's first input or None."""
    history = tensor._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    return history.operation, next(iter(node.input_tensors), None)


def has_graph(model) -> bool:
    """Returns whether a model is a functional one, whose graph `graph_nodes` can list."""
    return hasattr(model, "_nodes_by_depth")


def graph_is_known(model) -> bool:
    """Returns whether a model is a functional or a built sequential one, whose call runs the graph and nothing else."""
    from keras.src.models.functional import Functional  # `keras.Model(inputs, outputs)` makes one, under no public name

    plain = type(model).call in (Functional.call, keras.Sequential.call)
    return isinstance(model, keras.Model) and plain and bool(getattr(model, "inputs", None))


def graph_nodes(model):
    """Returns the nodes of a functional or sequential model's graph in execution order, without its inputs."""
    model = model if has_graph(model) else keras.Model(model.inputs, model.outputs)
    depths = sorted(model._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in model._nodes_by_depth[depth] if not node.is_input]


def operations():
    """Returns {name: class} of the operations of keras.ops, most of which have no public name."""
    return {kind.__name__: kind for kind in _subclasses(keras.Operation) if kind.__module__.startswith("keras.src.ops")}


def layers_of_convnext():
    """Returns the classes of layers that keras.applications' ConvNeXt has and that have no public name."""
    from keras.src.applications import convnext

    return [convnext.LayerScale, convnext.StochasticDepth]


def _subclasses(kind):
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)
