"""A run on photographs of odd sizes from a TFDS folder: trained, resumed, judged."""

import keras
import numpy as np
import pytest

from configs import base
from keras_dynamic.evaluation import evaluate
from keras_dynamic.experiments import Run, load_splits, train
from keras_dynamic.experiments.splits import check_fit, first_images
from tests.data.folders import CLASSES, example, prepare

pytest.importorskip("tensorflow_datasets")

TRAINED, HELD, JUDGED = 20, 4, 5


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)

    def some(count):
        sizes = rng.integers(30, 60, (count, 2))
        return [
            example(number, image=rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for number, size in enumerate(sizes)
        ]

    splits = {"train": some(TRAINED + HELD), "validation": some(JUDGED)}
    prepare(folder, "owls", splits, shape=(None, None, 3), encoding="jpeg")
    return folder


@pytest.fixture
def config():
    config = base.get_config()
    with config.unlocked():
        config.data.size = 32
    config.data.name, config.data.held_out = "owls", HELD
    config.network.depth, config.network.num_classes, config.network.weights = 8, len(CLASSES), ""
    config.epochs, config.batch_size, config.reestimate_images = 2, 8, 16
    config.anneal.a, config.anneal.k = 1.0, 1
    return config


def test_splits_of_photographs(config, photographs):
    splits = load_splits(config.data, photographs)
    check_fit(splits, config)
    assert (len(splits.train), splits.held_out[0].shape, splits.test[0].shape) == (
        TRAINED,
        (HELD, 32, 32, 3),
        (JUDGED, 32, 32, 3),
    )
    images, labels = first_images(splits, 3)
    assert (images.shape, labels.tolist()) == ((3, 32, 32, 3), [0, 1, 2])
    assert [len(batch[0]) for batch in Run(config, splits).reestimation_batches()] == [8, 8]


@pytest.mark.ci
def test_a_run_goes_on_where_it_stopped(config, photographs, tmp_path):
    run = Run.load(config, tmp_path / "whole", photographs)
    whole = train(run, verbose=0)
    assert np.isfinite(evaluate(whole, *run.splits.test).logits).all()

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Run.load(config, tmp_path / "stopped", photographs), verbose=0, callbacks=[Stop()])
    later = train(Run.load(config, tmp_path / "stopped", photographs), verbose=0)
    for one, other in zip(whole.get_weights(), later.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_images_of_another_size_than_the_networks(config, photographs):
    config.data.size = 24
    with pytest.raises(ValueError, match=r"images of \(32, 32, 3\), but those of 'owls' are \(24, 24, 3\); .*size=32"):
        check_fit(load_splits(config.data, photographs), config)


def test_a_missing_folder_is_named(config, tmp_path):
    config.data.name = "imagenet2012"
    with pytest.raises(FileNotFoundError, match=f"a TFDS folder imagenet2012/ in {tmp_path}, got none"):
        train(Run.load(config, tmp_path / "run", tmp_path))
    assert list(tmp_path.iterdir()) == []
