"""An exported multi-scale dense network answers as Keras; its exits are not in the file."""

import keras
import numpy as np

from keras_dynamic import lite, models


def test_float32_answers_and_costs_as_keras():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    model = models.msdnet(num_classes=7, blocks=2, base=2, channels=4, growth=2)
    model.build((None, 32, 32, 3))
    exported = lite.export(model)
    runner = lite.Interpreter(exported)
    found = np.concatenate([runner.run(image)["logits"] for image in images])
    np.testing.assert_allclose(found, np.asarray(model(images)), atol=1e-5)
    assert np.ptp(found) > 0.01
    without_exits = sum(node.total_macs for node in model.cost_tree.children if not node.exit)
    assert lite.verify(exported).macs_all_on == without_exits < model.cost_tree.total_macs
