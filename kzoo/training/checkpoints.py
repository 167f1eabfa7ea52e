"""Training that can be interrupted, and that ends with its best weights."""

import json
import math
import os
import pathlib
import random
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from kzoo.arguments import check_positive_integers
from kzoo.json_file import whole_file
from kzoo.training.runs import check_same

_KEPT = "kept"


class EpochCheckpoint(keras.callbacks.Callback):
    """Keeps what is worth keeping of each epoch, in memory and in a file.

    `resume` before `fit` gives a model the state of an earlier run: weights, optimizer, random
    numbers and history. Training stops at a loss that is not finite, or after `patience` epochs
    without a lower held-out loss; then, and at the end, the model gets the weights back that are
    worth most.

    Args:
        path: The file, a `.safetensors`; `None` writes none.
        settings: What the training depends on, of JSON types. A file with other settings is
            refused.
        patience: Epochs without a lower `val_loss` after which training stops, to end with the
            weights of the best epoch. `None` ends with those of the last one.
        seed: Seed of random numbers that are no state of the model, such as those of dropout on
            PyTorch: those of an epoch depend on it and the epoch alone. `None` leaves them.

    Raises:
        ValueError: If `patience` is not a positive integer.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        patience: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        if patience is not None:
            check_positive_integers(patience=patience)
        self.path = None if path is None else pathlib.Path(path)
        self.settings = dict(settings or {})
        self.patience = patience
        self.seed = seed
        self.history: dict[str, list[float]] = {}
        self.best: float | None = None
        self.best_epoch = 0
        self.epochs = 0
        self.failure: str | None = None
        self._kept: list[np.ndarray] = []
        self._stopped = False

    def resume(self, model: keras.Model) -> int:
        """Read the file, if there is one.

        Args:
            model: A compiled model, to which it gives its state.

        Returns:
            The number of epochs that `fit` need not train any more; all of them if it stopped.

        Raises:
            ValueError: If the file is of another training, or damaged.
        """
        if self.path is None or not self.path.exists():
            return 0
        state, tensors = _read(self.path)
        same = "`checkpoint` must be of the same training"
        check_same(same, self.path, state["settings"], self.settings)
        model.optimizer.build(model.trainable_variables)
        _assign(model, tensors, self.path)
        self._kept = [tensors[name] for name in sorted(tensors) if name.startswith(_KEPT)]
        self.history, self.epochs = state["history"], state["epochs"]
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        return int(self.settings["epochs"]) if state["stopped"] else self.epochs

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keep the weights there are, if there are no better ones."""
        self.failure, self._stopped = None, False
        if not self._kept:
            self._kept = self.model.get_weights()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Seed what only the backend knows, and neither Python's nor NumPy's numbers."""
        if self.seed is not None:
            states = random.getstate(), np.random.get_state()
            sequence = np.random.SeedSequence((self.seed, epoch))
            keras.utils.set_random_seed(int(sequence.generate_state(1)[0]))
            random.setstate(states[0])
            np.random.set_state(states[1])

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop at a loss that is not finite."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss) and self.failure is None:
            self.failure = f"loss={loss} in step {batch + 1} of epoch {self.epochs + 1}"
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare the epoch with the best one, and write the file."""
        if self.failure is not None:
            return
        self.epochs = epoch + 1
        values = {name: float(value) for name, value in (logs or {}).items()}
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        if self.patience is None:
            self.best_epoch = self.epochs
            self._kept = self.model.get_weights()
        else:
            self._compare(values)
        if self.path is not None:
            self._write()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Give the weights back."""
        if self.failure is not None or self.patience is not None:
            self.model.set_weights(self._kept)

    def _compare(self, values: Mapping[str, float]) -> None:
        """Keep the weights of the best epoch, and stop if it is long ago."""
        current = values["val_loss"]
        if self.best is None or current < self.best:
            self.best, self.best_epoch = current, self.epochs
            self._kept = self.model.get_weights()
        elif self.epochs - self.best_epoch >= (self.patience or 1):
            self._stopped = self.model.stop_training = True

    def _write(self) -> None:
        state = {
            "settings": self.settings,
            "epochs": self.epochs,
            "history": self.history,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "stopped": self._stopped,
        }
        tensors = {name: _to_numpy(variable) for name, variable in _variables(self.model)}
        if self.patience is not None:
            tensors |= {f"{_KEPT}.{place:05}": array for place, array in enumerate(self._kept)}
        assert self.path is not None
        with whole_file(self.path) as unfinished:
            try:
                safetensors.numpy.save_file(tensors, unfinished, {"state": json.dumps(state)})
            except safetensors.SafetensorError as error:  # What the system said, such as no space.
                raise OSError(f"{self.path} could not be written: {error}") from error


def _variables(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield all that training changes: weights, random numbers and the optimizer's averages."""
    for part, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        for place, variable in enumerate(variables):
            yield f"{part}.{place:05}", variable


def _assign(model: Any, tensors: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
    """Give a model its state back, all of it or nothing."""
    variables = dict(_variables(model))
    found = {name: tensor.shape for name, tensor in tensors.items() if not name.startswith(_KEPT)}
    if found != {name: tuple(variable.shape) for name, variable in variables.items()}:
        raise ValueError(f"`checkpoint` must be of a model of the same sizes. Received: {path}")
    for name, variable in variables.items():
        variable.assign(tensors[name])


def _read(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the state and the tensors of a file."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            state = json.loads(file.metadata()["state"])
            names = {"settings", "epochs", "history", "best", "best_epoch", "stopped"}
            if set(state) != names:
                raise KeyError(*names)
            stored = list(file.keys())
            return state, {name: file.get_tensor(name) for name in stored}
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"`checkpoint` must be a file that an earlier run has written ({error}). "
            f"Received: {path}"
        ) from error


def _to_numpy(variable: Any) -> np.ndarray:
    """Copy a variable; bfloat16 as float32, which holds the same numbers."""
    array = np.array(keras.ops.convert_to_numpy(variable.value))
    return array.astype("float32") if array.dtype == ml_dtypes.bfloat16 else array
