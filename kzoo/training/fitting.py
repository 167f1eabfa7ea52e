"""Training that is counted in steps."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from kzoo.arguments import check_positive_integers


def fit_steps(
    model: keras.Model,
    batches: Callable[[int], Any],
    steps: int,
    log_every: int,
    validation_data: Any = None,
    validation_steps: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> dict[str, list[float]]:
    """Train a model for a number of steps, with logs after every few of them.

    It is `fit` with an epoch for each line of the logs, and a shorter one at the end.

    Args:
        model: A compiled model.
        batches: Called with a number of batches; returns what `fit` takes, endless, without as many
            of its first batches.
        steps: Number of steps.
        log_every: Steps between two lines of the logs.
        validation_data: What is evaluated for each line.
        validation_steps: Batches of it.
        callbacks: As for `fit`.

    Returns:
        The values of each log, as in `fit(...).history`.

    Raises:
        ValueError: If a number is not a positive integer.
    """
    check_positive_integers(steps=steps, log_every=log_every)
    whole, rest = divmod(steps, log_every)
    history: dict[str, list[float]] = {}
    for first, last, size in ((0, whole, log_every), (whole, whole + 1, rest)):
        if last > first and size:
            fitted = model.fit(
                batches(first * log_every),
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=size,
                validation_data=validation_data,
                validation_steps=validation_steps,
                callbacks=list(callbacks),
                shuffle=False,
                verbose=0,
            )
            for name, values in fitted.history.items():
                history.setdefault(name, []).extend(values)
    return history
