"""Callbacks of `fit`: what is logged, and where to."""

import os
import time
from collections.abc import Callable
from typing import Any

import keras

from kzoo.arguments import check_positive_numbers, require_packages


class StepLogs(keras.callbacks.Callback):
    """Adds to the logs of an epoch the step, the learning rate and the speed.

    Give it to `fit` before the callbacks that write logs. It is meant for training that is counted
    in steps, with `steps_per_epoch` steps between two lines of the logs: `step` is the number of
    training steps of the model so far, `tokens_per_second` what was read after the first step of
    the epoch, which may have been compiled.

    Args:
        tokens_per_batch: Tokens in a batch, on average.

    Raises:
        ValueError: If it is not above 0.
    """

    def __init__(self, tokens_per_batch: float) -> None:
        super().__init__()
        check_positive_numbers(tokens_per_batch=tokens_per_batch)
        self.tokens_per_batch = tokens_per_batch
        self._step = 0
        self._first = self._last = 0.0
        self._batches = 0

    @property
    def tokens_per_second(self) -> float:
        """The speed since the first step of the epoch, 0.0 before there is one."""
        elapsed = self._last - self._first
        return (self._batches - 1) * self.tokens_per_batch / elapsed if elapsed else 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Count from the steps that the optimizer has made."""
        self._step = int(self.model.optimizer.iterations)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start to measure."""
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count a step."""
        self._last = time.perf_counter()
        self._step += 1
        self._batches += 1
        if self._batches == 1:
            self._first = self._last

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add to the logs."""
        if logs is not None:
            logs["step"] = self._step
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
            logs["tokens_per_second"] = round(self.tokens_per_second, 1)


class TensorBoard(keras.callbacks.Callback):
    """Writes the logs of each epoch as scalars for TensorBoard, without TensorFlow.

    Give it to `fit` after `StepLogs`, whose `step` is the horizontal axis.

    Args:
        folder: Folder to write event files in.

    Raises:
        ImportError: If the package `tensorboardX` is missing.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__()
        require_packages(("tensorboardX",), "pretrain", "logs for TensorBoard")
        self.folder = os.fspath(folder)
        self._writer: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open a file, of another name than that of an earlier `fit` in the same second."""
        from tensorboardX import SummaryWriter

        suffix = f".{int(self.model.optimizer.iterations)}"
        self._writer = SummaryWriter(self.folder, filename_suffix=suffix)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a point of each curve."""
        logs = dict(logs or {})
        step = logs.pop("step", epoch)
        for name, value in logs.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the file."""
        self._writer.close()


class ReportProgress(keras.callbacks.Callback):
    """Calls a function after each step with a line of text and the fraction that is done.

    Args:
        report: The function.
        total_steps: Number of steps that are to be made.
        step_logs: What measures the speed, given to `fit` before this callback.
    """

    def __init__(
        self, report: Callable[[str, float], None], total_steps: int, step_logs: StepLogs
    ) -> None:
        super().__init__()
        self.report = report
        self.total_steps = total_steps
        self.step_logs = step_logs
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the step, the loss and the speed."""
        self._step += 1
        line = f"step {self._step:,} of {self.total_steps:,}"
        if logs and "loss" in logs:
            line += f", loss {float(logs['loss']):.3f}"
        if speed := self.step_logs.tokens_per_second:
            line += f", {speed:,.0f} tokens/s"
        self.report(line, self._step / self.total_steps)
