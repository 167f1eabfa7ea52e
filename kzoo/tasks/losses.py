"""Losses, and what training shows beside them."""

from typing import Any

import keras

from kzoo.problems import PROBLEMS, Problem


@keras.saving.register_keras_serializable("kzoo")
class TokenCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits and integer labels: log(sum(exp(x))) - x[label].

    The numbers of `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, which on the way
    keeps the log-probabilities of all classes, as many as the logits. With large vocabularies that
    takes longer than the rest.

    Args:
        reduction: As for any Keras loss; by default the mean over what has a weight.
        **kwargs: `name` and `dtype`, as for any Keras loss.
    """

    def __init__(self, reduction: str = "mean_with_sample_weight", **kwargs: Any) -> None:
        super().__init__(reduction=reduction, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the losses.

        Args:
            y_true: Integers, the labels, any shape.
            y_pred: The logits, of the shape of the labels and, last, the classes.

        Returns:
            The losses, of the shape of the labels.
        """
        ops = keras.ops
        if keras.config.backend() == "tensorflow":  # has a kernel for it
            return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        labels = ops.expand_dims(ops.cast(y_true, "int32"), -1)
        chosen = ops.take_along_axis(y_pred, labels, axis=-1)
        return ops.logsumexp(y_pred, axis=-1) - ops.squeeze(chosen, -1)


def losses_of(problem: Problem) -> tuple[Any, list[Any]]:
    """Return what a classifier of texts is trained by.

    Args:
        problem: What it tells.

    Returns:
        The loss of its logits, and the metrics that training shows.
    """
    if problem is PROBLEMS["multi_label"]:
        return keras.losses.BinaryCrossentropy(from_logits=True), []
    if problem is PROBLEMS["regression"]:
        return keras.losses.MeanSquaredError(), []
    return TokenCrossentropy(), [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
