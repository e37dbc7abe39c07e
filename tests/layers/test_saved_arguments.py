"""Every layer, decider and method saves all arguments of its constructor."""

import inspect

import keras
import pytest

import keras_dynamic  # noqa: F401  registers the classes
from keras_dynamic.layers.saved_arguments import SavedArguments

NOT_SAVED = {"teacher"}  # not saved with the model, as its documentation says
ELSEWHERE = {"policy": "decider"}  # the attribute that holds an argument


def classes(kind=SavedArguments):
    for child in kind.__subclasses__():
        if child.__module__.startswith("keras_dynamic."):
            yield child
            yield from classes(child)


@pytest.mark.parametrize(
    "kind", sorted({kind for kind in classes() if "__init__" in vars(kind)}, key=str), ids=lambda kind: kind.__name__
)
def test_every_argument_is_assigned_to_an_attribute(kind):
    source = "\n".join(inspect.getsource(each) for each in kind.__mro__ if each.__module__.startswith("keras_dynamic."))
    parameters = inspect.signature(kind.__init__).parameters.values()
    named = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    for name in named - NOT_SAVED - {"self"}:
        assert f"self.{ELSEWHERE.get(name, name)}" in source, name


@keras.saving.register_keras_serializable("tests")
class Scaled(SavedArguments):
    def __init__(self, inner, sizes=(1, 2), factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.sizes = inner, tuple(sizes)
        self.factor = self.add_weight(shape=(), initializer=keras.initializers.Constant(factor), name="factor")


def test_layers_tuples_and_the_present_values_of_variables_are_saved():
    layer = Scaled(keras.layers.Dense(3), (4, 5), name="scaled")
    layer.factor.assign(0.25)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert (again.name, again.inner.units, again.sizes, float(again.factor)) == ("scaled", 3, (4, 5), 0.25)
