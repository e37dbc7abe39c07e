"""Gates on channel groups learn on a toy problem, with both losses; what a user would do next works."""

import keras
import numpy as np
import pytest

from keras_dynamic.callbacks import AnnealTarget, reestimate_batch_norm
from keras_dynamic.deciders import ChannelGates
from keras_dynamic.evaluation import accuracy_shuffled, evaluate, static_twin
from keras_dynamic.methods import ActivationGating
from tests.layers.grouped import GATE, GROUP, HEAD, STEM, chain
from tests.methods.learning import colours, compiled

WHOLE = STEM + 8 * GROUP + HEAD + 2 * GATE
LEAST = WHOLE - 6 * GROUP


@pytest.mark.ci
@pytest.mark.parametrize(("loss", "target"), [("batch", 0.5), ("macs", 0.6)])
def test_it_learns_a_toy_problem(loss, target, tmp_path):
    keras.utils.set_random_seed(0)
    images, labels = colours(384)
    gates = ChannelGates(open_probability=0.9, seed=0)
    model = ActivationGating(chain(), gates, target=target, activation_loss=loss, activation_weight=6.0)
    fitted = compiled(model).fit(
        images, labels, batch_size=64, epochs=12, callbacks=[AnnealTarget(a=0.125, k=1)], verbose=0
    )
    history = fitted.history
    for rate, macs in zip(history["activation_rate"], history["macs_millions"], strict=True):
        assert 1e6 * macs == pytest.approx(LEAST + 6 * GROUP * rate, rel=1e-4)
    assert history["activation_rate"][0] > 0.7
    reached = history["activation_rate"][-1] if loss == "batch" else 1e6 * history["macs_millions"][-1] / WHOLE
    assert reached == pytest.approx(target, abs=0.1)
    assert history["loss"][-1] < history["loss"][0]
    reestimate_batch_norm(model, [images[:128], images[128:256]])
    test, answers = colours(192, seed=1)
    evaluated = model.evaluate(test, answers, return_dict=True, verbose=0)
    assert evaluated["accuracy"] > 0.9
    found = evaluate(model, test, answers)
    assert found.accuracy == pytest.approx(evaluated["accuracy"])
    assert found.macs.mean() == pytest.approx(1e6 * evaluated["macs_millions"], rel=1e-4)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(loaded.predict(test, verbose=0), found.logits, atol=1e-5)
    model.decider.set_tau(1.0)
    closed = model.evaluate(test, answers, return_dict=True, verbose=0)
    assert closed["activation_rate"] == 0.0
    assert 1e6 * closed["macs_millions"] == pytest.approx(LEAST)


@pytest.mark.ci
def test_figures_and_the_static_twin_of_groups():
    keras.utils.set_random_seed(0)
    images, labels = colours(60)
    model = ActivationGating(chain(), ChannelGates(seed=0))
    model.build((None, 8, 8, 3))
    gate = model.decider.gates["unit1"]
    rng = np.random.default_rng(0)
    gate.kernel.assign(rng.normal(0, 1, gate.kernel.shape))
    gate.bias.assign(np.zeros(6))
    odds = [np.asarray(model.outcome(images).probabilities[f"unit1[{k}]"], np.float64) for k in (1, 2, 3)]
    gate.bias.assign([0, 0, 0, *(-np.median(np.log(each / (1 - each))) for each in odds)])  # unit2's gate stays open
    found = evaluate(model, images, labels)
    figures = found.figures()
    names = [f"unit{u}[{k}]" for u in (1, 2) for k in (1, 2, 3)]
    assert figures["activation_rates"] == dict(zip(names, [0.5, 0.5, 0.5, 1, 1, 1], strict=True))
    assert figures["units_mean"] == 4.5
    assert figures["macs_mean"] == WHOLE - 1.5 * GROUP
    assert figures["macs_std"] == pytest.approx(figures["units_std"] * GROUP)
    assert 2 < figures["distinct_paths"] <= 8
    twin = static_twin(model, (images[:30], labels[:30]), (images, labels), figures["macs_mean"])
    plain = WHOLE - 2 * GATE
    assert [macs for macs, _ in twin.points] == [plain - 2 * GROUP, plain - 1 * GROUP]
    assert all(sorted(pattern) == sorted(names) for pattern in twin.patterns)
    for (macs, accuracy), pattern in zip(twin.points, twin.patterns, strict=True):
        fixed = {name: np.full(60, run, np.float32) for name, run in pattern.items()}
        assert accuracy == evaluate(model, images, labels, fixed).accuracy
        assert macs == plain - GROUP * (6 - sum(pattern.values()))
    alike = {name: np.full(60, name != "unit1[2]", np.float32) for name in names}  # another image's are one's own
    expected = evaluate(model, images, labels, alike).accuracy
    assert accuracy_shuffled(model, images, labels, alike) == pytest.approx(expected)
