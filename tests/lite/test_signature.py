import pytest

from keras_dynamic.lite import Interpreter, flatbuffer, write_signature
from keras_dynamic.lite.metadata import signature_names


def test_names_are_the_interpreters(example):
    made = example("units", False)
    assert signature_names(flatbuffer.load(made.outlined)) == (["image"], ["decisions", "logits", "macs"])
    renamed = write_signature(made.outlined, ["picture"], ["a", "b", "c"])
    before, after = Interpreter(made.outlined).run(made.images[0]), Interpreter(renamed).run(made.images[0])
    assert after["b"].tolist() == before["logits"].tolist()
    assert after["c"].tolist() == before["macs"].tolist()


def test_without_signature_the_tensors_names_serve(example):
    model = flatbuffer.load(example("units", False).outlined)
    model.signatureDefs = []
    main = model.subgraphs[0]
    assert signature_names(model)[1] == [main.tensors[t].name for t in main.outputs]
    assert list(Interpreter(flatbuffer.pack(model)).outputs) == signature_names(model)[1]


@pytest.mark.parametrize("outputs", [["a", "b"], ["a", "b", "b"], ["a", "b", "c", "d"]])
def test_wrong_number_of_names_is_refused(example, outputs):
    with pytest.raises(ValueError, match="each of the model's 3 outputs, all different"):
        write_signature(example("units", False).outlined, ["image"], outputs)
