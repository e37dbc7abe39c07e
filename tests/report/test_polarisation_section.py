"""The section on decisions, from rates made by hand."""

from keras_dynamic.report import Text
from keras_dynamic.report.decision_sections import decisions_section

RATES = {"a": 0.0, "b": 0.0, "c": 0.3, "d": 0.99, "e": 1.0}
HISTORY = {"epochs": [1, 2], "rates": {name: [1.0, rate] for name, rate in RATES.items()}}


def blocks_of(system):
    return decisions_section("gated").render({"systems": {"gated": system}}, {})


def test_sentence_rates_and_training():
    text, rates, training = blocks_of({"activation_rates": RATES, "activation_history": HISTORY})
    assert text == Text(
        [
            "Of 5 decisions 2 are always off, 1 is always on, and 2 depend on the image; 80 % are polarised, that is, "
            "run for less than 5 % or more than 95 % of the images."
        ],
        listed=True,
    )
    assert (rates.name, training.name) == ("activation_gated", "training_gated")
    assert rates.alternative == "Activation rates: a 0 %, b 0 %, c 30 %, d 99 %, e 100 %."
    assert "c 100 % to 30 %" in training.alternative


def test_rates_that_never_moved_are_not_drawn():
    still = {"epochs": [1, 2], "rates": {name: [1.0, 1.0] for name in RATES}}
    assert len(blocks_of({"activation_rates": RATES, "activation_history": still})) == 2
    assert len(blocks_of({"activation_rates": RATES, "activation_history": {"epochs": [], "rates": {}}})) == 2
    text, _ = blocks_of({"activation_rates": {"resnet20": 0.4, "resnet32": 0.04}})
    assert text.sentences[0].startswith(
        "Of 2 decisions 0 are always off, 0 are always on, and 2 depend on the image; 50"
    )


def test_a_static_network_has_no_such_section():
    assert blocks_of({}) == blocks_of({"activation_rates": {}}) == []
