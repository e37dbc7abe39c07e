"""The state of a training, saved after every epoch, so that an interrupted run resumes exactly."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_dynamic.files import read_arrays, remove_partial, replacing

_NOTE = "note.json"
_ANEW = "delete the folder of the run and start anew"


class Checkpoint(keras.callbacks.Callback):
    """Saves weights, optimizer and random states after each epoch, in one file that is replaced as a whole.

    Keras' BackupAndRestore writes two files in place, keeps no random states, and takes weights of a larger network for
    those of a smaller one without an error.

    Args:
        folder: where latest.npz is kept; it is made when it is needed.
    """

    def __init__(self, folder):
        super().__init__()
        self.path = Path(folder) / "latest.npz"

    def restore(self, model) -> int:
        """Sets a compiled, built model to the saved state, if there is one.

        Args:
            model: keras.Model.

        Returns:
            Epochs that were run before: fit's initial_epoch.

        Raises:
            ValueError: if the file is of another architecture or cannot be read; the model stays as it was.
        """
        if not self.path.exists():
            return 0
        variables = _state(model)
        found = read_arrays(self.path, _ANEW)
        epoch = found.pop("epoch", np.zeros(0))
        names = [f"{k:05d}" for k in range(len(found))]
        numbers = found.keys() == set(names) and all(array.dtype.kind in "biuf" for array in found.values())
        if epoch.shape or epoch.dtype.kind not in "iu" or not numbers:
            raise ValueError(f"{self.path} is no checkpoint that a training has written; {_ANEW}.")
        arrays = [found[name] for name in names]
        check_shapes([array.shape for array in arrays], variables, model, self.path)
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return int(epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Saves the state."""
        arrays = {f"{k:05d}": keras.ops.convert_to_numpy(variable) for k, variable in enumerate(_state(self.model))}
        with replacing(self.path) as temporary:
            np.savez(temporary, epoch=epoch + 1, **arrays)

    def remove(self):
        """Deletes the saved state."""
        if self.path.exists():
            remove_partial(self.path.parent)  # what interrupted saves left
            self.path.unlink()
            self.path.parent.rmdir()


def save(model, path, optimizer=True, note=None):
    """Saves a model in one step: a file is whole or not there.

    Args:
        model: keras.Model.
        path: ending in .keras.
        optimizer: whether the optimizer's state is saved too.
        note: what json can write, kept in the file beside the model (read_note); None for none.
    """
    with replacing(path) as temporary:
        model.save(temporary, include_optimizer=optimizer)
        if note is not None:
            with zipfile.ZipFile(temporary, "a") as file:
                file.writestr(_NOTE, json.dumps(note))


def read_note(path):
    """Returns the note with which a model was saved in a .keras file, or raises a ValueError if there is none."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no whole .keras file; {_ANEW}.")
    with zipfile.ZipFile(path) as file:
        if _NOTE not in file.namelist():
            raise ValueError(f"{path} was saved without a note; {_ANEW}.")
        return json.loads(file.read(_NOTE))


def load_weights(model, path):
    """Sets the weights of a built model to those of a .keras file of the same architecture, and returns the model.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds another architecture or no Keras model; the model stays as it was.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no saved model at {path}; give the path of a .keras file.")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no whole .keras file; save the model again.")
    weights = keras.models.load_model(path, compile=False).get_weights()
    check_shapes([value.shape for value in weights], model.weights, model, path)
    model.set_weights(weights)
    return model


def check_shapes(shapes, variables, model, path):
    """Raises a ValueError unless arrays of these shapes, in a file, fit the variables of a model one by one."""
    wrong = [
        f"{variable.path!r} is {tuple(variable.shape)} in the model and {tuple(shape)} in the file"
        for shape, variable in zip(shapes, variables, strict=False)
        if tuple(shape) != tuple(variable.shape)
    ]
    if len(shapes) != len(variables):
        wrong.insert(0, f"the model has {len(variables)} arrays, the file {len(shapes)}")
    if wrong:
        raise ValueError(
            f"{path} holds the weights of another architecture than model {model.name!r} ({wrong[0]}); "
            "build the model as it was built for that file."
        )


def _state(model):
    """Returns the variables that training changes: weights, random states and the optimizer's."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


class Scalars(keras.callbacks.Callback):
    """Writes each epoch's metrics as TensorBoard's scalars into a folder, as epoch_NAME below train and validation.

    keras.callbacks.TensorBoard writes the same, but needs the package tensorboard, which TensorFlow no longer brings;
    only looking at the files should: tensorboard --logdir FOLDER.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder, self._writers = str(folder), {}

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's metrics."""
        import tensorflow as tf

        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
        metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin, data_class="DATA_CLASS_SCALAR")
        for name, value in (logs or {}).items():
            split = "validation" if name.startswith("val_") else "train"
            if split not in self._writers:
                self._writers[split] = tf.summary.create_file_writer(f"{self.folder}/{split}")
            with self._writers[split].as_default():
                tag = f"epoch_{name.removeprefix('val_')}"
                tf.summary.write(tag, tf.constant(float(value), tf.float32), step=epoch, metadata=metadata)
        for writer in self._writers.values():
            writer.flush()
