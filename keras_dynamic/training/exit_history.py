"""How right each exit is, epoch by epoch of a training."""


def exit_history(epochs, exit_names) -> dict:
    """Reads the accuracy of each exit on held-out images from a training's metrics.

    Args:
        epochs: metrics of each epoch, [{name: number}, ...], as RunRecord.epochs or the rows of a Keras History have
            them: 'val_NAME_accuracy' for each exit and 'val_accuracy' for the head, as methods.IMTA tells them.
        exit_names: of the network, in order; those without such a metric are left out.

    Returns:
        {'epochs': [epochs trained, ...], 'accuracies': {exit: [fraction, ...]}}, the chain's head as the last; both
        empty if no exit has a metric.

    Source: IMTA, figure 6.
    """
    epochs = list(epochs)
    metrics = {name: f"val_{name}_accuracy" for name in exit_names}
    known = {name: metric for name, metric in metrics.items() if epochs and all(metric in each for each in epochs)}
    if not known:
        return {"epochs": [], "accuracies": {}}
    told = {**known, "head": "val_accuracy"}
    accuracies = {name: [float(each[metric]) for each in epochs] for name, metric in told.items()}
    return {"epochs": list(range(1, len(epochs) + 1)), "accuracies": accuracies}
