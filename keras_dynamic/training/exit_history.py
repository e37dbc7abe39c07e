"""How right each exit is, epoch by epoch of a training."""


def exit_history(epochs, exit_names) -> dict:
    """Reads the accuracy of each exit on held-out images from a training's metrics.

    Args:
        epochs: metrics of each epoch, [{name: number}, ...], as RunRecord.epochs has them: 'val_NAME_accuracy' for
            each exit and 'val_accuracy' for the head, as methods.IMTA tells them if it is compiled with the metric.
        exit_names: of the network, in order. Those without such a metric are left out, and so is the head.

    Returns:
        {'epochs': [epochs trained, ...], 'accuracies': {exit: [fraction, ...]}}, the chain's head as the last; both
        empty if no exit has a metric.

    Source: IMTA, figure 6.
    """
    epochs = list(epochs)
    metrics = {**{name: f"val_{name}_accuracy" for name in exit_names}, "head": "val_accuracy"}
    told = {name: metric for name, metric in metrics.items() if epochs and all(metric in each for each in epochs)}
    if not told.keys() - {"head"}:
        return {"epochs": [], "accuracies": {}}
    accuracies = {name: [float(each[metric]) for each in epochs] for name, metric in told.items()}
    return {"epochs": list(range(1, len(epochs) + 1)), "accuracies": accuracies}
