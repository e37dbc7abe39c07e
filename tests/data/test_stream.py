"""Photographs of odd sizes in a TFDS folder: read as a stream, served epoch by epoch, and what is refused."""

import itertools

import keras
import numpy as np
import pytest

from keras_dynamic.data import StreamBatches, stream
from keras_dynamic.data.streams import centre_crop
from tests.data.folders import CLASSES, example, prepare

pytest.importorskip("tensorflow_datasets")

TRAINED, HELD, JUDGED, SIZE = 11, 3, 4, 16


def photograph(number):
    """An image of an odd size whose brightness is its number's: JPEG leaves that as it is."""
    return np.full((20 + 3 * number, 50 - 2 * number, 3), 10 * number + 5, np.uint8)


def photographs(numbers):
    return [example(number, image=photograph(number)) for number in numbers]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    train, test = range(TRAINED + HELD), range(TRAINED + HELD, TRAINED + HELD + JUDGED)
    splits = {"train": photographs(train), "validation": photographs(test)}
    prepare(folder, "owls", splits, shape=(None, None, 3), drop=["id"], encoding="jpeg")
    return folder


@pytest.fixture
def owls(folder):
    return stream("owls", folder, SIZE, HELD)


def numbers(images):
    """Which photographs these are."""
    assert images.shape[1:] == (SIZE, SIZE, 3)
    return [round((float(image.mean()) - 5) / 10) for image in images]


def test_the_last_training_images_are_held_out(owls):
    assert (len(owls.train), owls.class_names) == (TRAINED, tuple(CLASSES))
    for (images, labels), first, count in ((owls.held_out, TRAINED, HELD), (owls.test, TRAINED + HELD, JUDGED)):
        assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
        assert numbers(images) == list(range(first, first + count))
        assert labels.tolist() == [number % 3 for number in range(first, first + count)]


def test_what_is_judged_is_the_middle_of_the_image(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (33, 47, 3)).astype(np.uint8)
    examples = [example(number, image=image) for number in range(3)]
    prepare(tmp_path, "owls", {"train": examples, "test": examples[:1]}, shape=(None, None, 3))
    np.testing.assert_array_equal(stream("owls", tmp_path, SIZE, 1).test[0][0], centre_crop(image, SIZE))


def epochs_of(batches, count):
    """The photographs of some epochs, batch by batch."""
    found = []
    for _ in range(count):
        epoch = [batches[index] for index in range(len(batches))]
        assert all(label == number % 3 for x, y in epoch for number, label in zip(numbers(x), y, strict=True))
        found.append([numbers(x) for x, _ in epoch])
        batches.on_epoch_end()
    return found


def test_every_epoch_has_every_image_once_in_an_order_of_its_own(owls):
    batches = StreamBatches(owls.train, 4)
    first, second = epochs_of(batches, 2)
    assert [len(batch) for batch in first] == [4, 4, 3]
    assert sorted(itertools.chain(*first)) == sorted(itertools.chain(*second)) == list(range(TRAINED))
    assert first != second
    assert batches.epoch == 2


def test_a_run_that_goes_on_sees_what_the_uninterrupted_one_would_have(owls):
    whole, later = StreamBatches(owls.train, 4, seed=3), StreamBatches(owls.train, 4, seed=3, epoch=1)
    epochs_of(whole, 1)
    for index in (0, 1, 2):
        for one, other in zip(whole[index], later[index], strict=True):
            np.testing.assert_array_equal(one, other)
    assert epochs_of(StreamBatches(owls.train, 4, seed=4), 1) != epochs_of(StreamBatches(owls.train, 4, seed=3), 1)


def test_any_batch_can_be_read(owls):
    batches = StreamBatches(owls.train, 4)
    inorder = [batches[index][0] for index in range(3)]
    for index in (2, 0, 1, 1):
        np.testing.assert_array_equal(batches[index][0], inorder[index])
    batches.on_epoch_end()
    assert batches.epoch == 0  # it was not read to its end


def test_crops_are_random_only_where_they_are_asked_for(folder):
    ramp = np.tile(np.arange(40, dtype=np.uint8)[:, None, None] * 6, (1, 30, 3))
    prepare(
        folder,
        "ramps",
        {"train": [example(n, image=ramp) for n in range(4)], "test": [example(0, image=ramp)]},
        shape=(None, None, 3),
    )
    train = stream("ramps", folder, SIZE, 1).train
    middle = centre_crop(ramp, SIZE).numpy()
    plain, cropped = (StreamBatches(train, 3, augment=augment)[0][0] for augment in (False, True))
    np.testing.assert_array_equal(plain, [middle] * 3)
    assert len({image.tobytes() for image in cropped}) == 3


def test_fit_takes_it(owls):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = StreamBatches(owls.train, 4)
    history = model.fit(batches, epochs=2, shuffle=False, verbose=0, validation_data=owls.held_out).history
    assert np.isfinite(history["loss"]).all()
    assert batches.epoch == 2


def test_images_for_arrays(owls):
    images, labels = owls.train.arrays(5)
    assert numbers(images) == [0, 1, 2, 3, 4]
    assert labels.tolist() == [0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size to be the side of the images in pixels, got 0; ImageNet's usual is 224"),
        ({"size": 2.5}, "size to be the side of the images in pixels, got 2.5"),
        ({"held_out": 14}, "held_out to be between 1 and 13, so that some of the 14 images remain, got 14"),
        ({"held_out": 0}, "held_out to be between 1 and 13"),
    ],
)
def test_wrong_arguments_are_an_error(arguments, message, folder):
    with pytest.raises(ValueError, match=message):
        stream("owls", folder, **{"size": SIZE, "held_out": HELD, **arguments})


@pytest.mark.parametrize("name", ["imagenet2012", "imagenette/320px-v2", ""])
def test_a_folder_that_is_not_there_is_named(name, folder):
    with pytest.raises(FileNotFoundError, match=f"a TFDS folder {name.split('/')[0]}/ in {folder}, got none; make it"):
        stream(name, folder)


def test_a_folder_that_was_not_prepared_is_told_so(tmp_path):
    (tmp_path / "imagenet2012" / "5.1.0").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"a prepared TFDS set 'imagenet2012' in .*, got a folder without"):
        stream("imagenet2012", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size of 1 or more, got 0"),
        ({"seed": -1}, "epoch and seed to be 0 or more, got epoch 0 and seed -1"),
        ({"epoch": -1}, "got epoch -1 and seed 0"),
    ],
)
def test_wrong_batches_are_an_error(arguments, message, owls):
    with pytest.raises(ValueError, match=message):
        StreamBatches(owls.train, **arguments)


def test_an_index_out_of_range_is_an_error(owls):
    with pytest.raises(IndexError, match="a batch index from 0 to 2, got 3"):
        StreamBatches(owls.train, 4)[3]
