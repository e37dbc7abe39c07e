from keras_dynamic.experiments.checkpoint import Scalars


def test_each_epochs_metrics_can_be_read_back(tmp_path):
    import tensorflow as tf

    scalars = Scalars(tmp_path)
    scalars.on_epoch_end(0, {"accuracy": 0.25, "val_accuracy": 0.5})
    scalars.on_epoch_end(1, {"accuracy": 0.75, "val_accuracy": 0.625})
    scalars.on_train_end()
    found = {}
    for file in tmp_path.glob("*/events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name == "scalars"
                found[file.parent.name, value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert found == {
        ("train", "epoch_accuracy", 0): 0.25,
        ("validation", "epoch_accuracy", 0): 0.5,
        ("train", "epoch_accuracy", 1): 0.75,
        ("validation", "epoch_accuracy", 1): 0.625,
    }
