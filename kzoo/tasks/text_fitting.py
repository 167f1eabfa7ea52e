"""Training a classifier on texts."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_counts, check_positive_integers, check_positive_numbers
from kzoo.data.labeled import LabeledTexts
from kzoo.data.splitting import hash_of
from kzoo.data.texts import Texts, read_texts
from kzoo.problems import PROBLEMS
from kzoo.tasks.text_batches import TextBatches, check_count
from kzoo.training.checkpoints import EpochCheckpoint

# What `fit` of Keras has that texts have otherwise.
_FOR_ARRAYS = {
    "shuffle": "`seed` orders texts",
    "validation_data": "`validation` has texts",
    "validation_split": "`validation` has texts",
    "sample_weight": "`class_weight` weighs texts",
    "initial_epoch": "`checkpoint` tells the epoch",
    "steps_per_epoch": "an epoch has all texts",
    "validation_steps": "`validation` has texts",
}


def fit_texts(
    model: Any,
    fit: Callable[..., Any],
    x: Any,
    y: Any,
    given: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Any:
    """Train a classifier.

    Args:
        model: A `TextClassifier`.
        fit: Its `fit` of Keras.
        x: The texts.
        y: Their labels.
        given: What its own `fit` was given of `validation`, `learning_rate`, `layer_decay`, `seed`,
            `patience` and `checkpoint`.
        options: What Keras knows too.

    Returns:
        The `History` of Keras.

    Raises:
        ValueError: If an argument is not as it must be, or the loss is not finite.
    """
    options = dict(options)
    for name in _FOR_ARRAYS.keys() & options.keys():
        raise ValueError(
            f"`{name}` is for arrays: {_FOR_ARRAYS[name]}. Received: {name} with texts"
        )
    epochs, size = options.pop("epochs", 3), options.pop("batch_size", 32)
    seed, patience = given.get("seed", 0), given.get("patience")
    check_positive_integers(epochs=epochs, batch_size=size)
    check_counts(seed=seed)
    if patience is not None and "validation" not in given:
        raise ValueError(f"`patience` needs `validation`. Received: patience={patience}")
    texts, labels = _read(model, ("x", x), ("y", y))
    if len(np.unique(labels, axis=0)) < 2:
        only = PROBLEMS[model.problem].label(labels[0], model.labels)
        raise ValueError(f"`y` must have two or more different labels. Received: {only!r} alone")
    weight, is_single = options.pop("class_weight", None), model.problem == "single_label"
    if weight is not None and not is_single:
        raise ValueError(
            "`class_weight` is for texts of one label each. "
            f"Received: class_weight={weight!r}, problem={model.problem!r}"
        )
    weights = _weights(weight, labels, model.labels) if is_single else None
    parts, measured = {"train": (texts, labels)}, None
    if "validation" in given:
        names = ("validation[0]", "validation[1]")
        parts["validation"] = _read(model, *zip(names, given["validation"], strict=True))
        others, answers = parts["validation"]
        measured = TextBatches(model.tokenize(others), answers, size, None)
    rate, decay = given.get("learning_rate"), given.get("layer_decay")
    model.choose_optimizer(rate, epochs * -(-len(labels) // size), decay)
    settings = {
        "data": _hash(parts),
        "labels": list(model.labels),
        "epochs": epochs,
        "batch_size": size,
        "length": model.length,
        "learning_rate": rate,
        "layer_decay": decay,
        "optimizer": type(model.optimizer).__name__,
        "seed": seed,
        "patience": patience,
        "class_weight": None if weights is None else weights.tolist(),
        "trained": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        "backend": keras.config.backend(),
    }
    keeper = EpochCheckpoint(given.get("checkpoint"), settings, patience, seed)
    first = keeper.resume(model)
    row_weights = None if weights is None else weights[labels]
    batches = TextBatches(model.tokenize(texts), labels, size, seed, row_weights, first)
    callbacks = [keeper, *(options.pop("callbacks", None) or ())]
    history = fit(
        batches,
        epochs=epochs,
        initial_epoch=first,
        validation_data=measured,
        shuffle=False,
        callbacks=callbacks,
        **options,
    )
    history.history, history.epoch = keeper.history, list(range(keeper.epochs))
    if keeper.failure is not None:
        kept = f"of epoch {keeper.best_epoch}" if keeper.best_epoch else "that it began with"
        raise ValueError(
            f"The loss must be finite: a lower `learning_rate` may help. Received: "
            f"{keeper.failure}; the model has the weights {kept}"
        )
    return history


def _read(model: Any, texts: tuple[str, Any], labels: tuple[str, Any]) -> tuple[Texts, np.ndarray]:
    """Read texts and their labels, each with the name that the user knows it by."""
    found = read_texts(*texts)
    read = PROBLEMS[model.problem].read(*labels, model.labels)
    check_count(texts[0], found, read)
    return found, read


def _weights(given: Any, labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return what a row of each label counts, (C,)."""
    if given == "balanced":
        counts = np.bincount(labels, minlength=len(names))
        # As if there were as many of each label that occurs.
        fair = len(labels) / np.count_nonzero(counts)
        return np.asarray(fair / np.maximum(counts, 1)).astype("float32")
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(
            "`class_weight` must be 'balanced' or a number by label. "
            f"Received: class_weight={given!r}"
        )
    weights = np.ones(len(names), "float32")
    for name, weight in (given or {}).items():
        check_positive_numbers(**{f"class_weight[{name!r}]": weight})
        weights[PROBLEMS["single_label"].read("class_weight", [name], names)] = weight
    return weights


def _hash(parts: Mapping[str, tuple[Texts, np.ndarray]]) -> str:
    """Compute one hash of all texts and labels."""
    rows = {
        part: LabeledTexts(texts.first, texts.second, [str(label.tolist()) for label in labels])
        for part, (texts, labels) in parts.items()
    }
    return hash_of(rows)
