"""Pretraining from beginning to end: what it needs, what it logs, what it leaves."""

import functools
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from kzoo.arguments import check_positive_integers, require_packages
from kzoo.data.dataset import Batch, pretraining_dataset
from kzoo.data.held_out import held_out_batches, unigram_accuracy
from kzoo.data.manifest import TOKENIZER, read_manifest
from kzoo.data.tokenizer import Tokenizer
from kzoo.json_file import write_json
from kzoo.models import save, save_huggingface
from kzoo.models.families import converters
from kzoo.training.callbacks import ReportProgress, StepLogs, TensorBoard
from kzoo.training.fitting import fit_steps
from kzoo.training.plots import plot_history
from kzoo.training.runs import check_new_folder, check_room

# Held-out batches that are measured on for each line of the logs, and at the end.
_MEASURED, _MEASURED_AT_THE_END = 20, 200


def pretrain(
    task: Any,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    steps: int,
    batch_size: int = 32,
    log_every: int | None = None,
    workers: int = 0,
    progress: Callable[[str, float], None] | None = None,
    **masking: Any,
) -> dict[str, Any]:
    """Train a task on prepared records, measure it on the held-out ones, and write it.

    Writes into `out` the task as `model.keras`, with the state of the optimizer, and as the folder
    `huggingface`; `log.csv` and `tensorboard`; `curves.png`; and `run.json` with the result. The
    logs are written while it is trained, everything else when it is.

    Args:
        task: A compiled `kzoo.tasks.Pretraining`.
        data: What `kzoo.data.prepare` wrote.
        out: A new or empty folder.
        steps: Training steps.
        batch_size: Records in a batch.
        log_every: Steps between two lines of the logs. By default a twentieth of all, 500 at most.
        workers: Processes that make batches ahead. 0 makes them in this one.
        progress: Called with each step and the fraction that is done.
        **masking: The arguments `masking`, `rate`, `predictions` and `seed` of
            `pretraining_dataset`.

    Returns:
        `steps`, `tokens` and `epochs` that were read; `tokens_per_second`, the median; `logs`, the
        last line of the logs; and `held_out`, the losses and accuracies on held-out records beside
        `unigram_accuracy`, or None where nothing is held out.

    Raises:
        ValueError: If an argument is out of its range, or the data are not for this model.
        OSError: If the disk has no room for the model.
    """
    require_packages(("grain", "matplotlib", "tensorboardX"), "pretrain", "pretraining")
    check_positive_integers(steps=steps, batch_size=batch_size)
    data, out = Path(data), Path(out)
    report = progress or (lambda step, fraction: None)
    report("read the data", 0.0)
    check_new_folder(out)
    check_room(out, task)
    check_data(task, data)
    converters()[task.config.family].check_head(task.head)
    totals = read_manifest(data)["totals"]["train"]
    make = functools.partial(
        pretraining_dataset, data, batch_size, inputs=task.config.input_names, **masking
    )
    make()  # What is wrong with an argument is said before anything is written.
    held_out = held_out_batches(
        data, batch_size, _MEASURED_AT_THE_END, inputs=task.config.input_names, **masking
    )

    out.mkdir(parents=True, exist_ok=True)
    tokens = totals["tokens"] / totals["records"] * batch_size
    logs = StepLogs(tokens)
    history = fit_steps(
        task,
        lambda start: make(start=start, workers=workers),
        steps,
        log_every or max(1, min(500, steps // 20)),
        _dataset(held_out[:_MEASURED]),
        len(held_out[:_MEASURED]) or None,
        [
            logs,
            keras.callbacks.CSVLogger(str(out / "log.csv"), append=True),
            TensorBoard(out / "tensorboard"),
            ReportProgress(report, steps, logs),
        ],
    )
    report("measure", 1.0)
    result = {
        "steps": steps,
        "tokens": round(steps * tokens),
        "epochs": steps * batch_size / totals["records"],
        "tokens_per_second": statistics.median(history["tokens_per_second"]),
        "logs": {name: values[-1] for name, values in history.items()},
        "held_out": _measure(task, held_out),
    }
    report("write", 1.0)
    _write(task, out, history, result)
    return result


def check_data(task: Any, data: Path) -> None:
    """Require data that a model can be trained on.

    Args:
        task: A `kzoo.tasks.Pretraining`.
        data: What `kzoo.data.prepare` wrote.

    Raises:
        ValueError: If the records are pairs and the task has no output for them, or the other way
            round; are longer than the model takes; or are made with another vocabulary.
    """
    settings = read_manifest(data)["settings"]
    length, are_pairs = settings["length"], settings["pairs"] != "none"
    if are_pairs != (task.pair is not None):
        expected = "set for pairs" if are_pairs else "None for single texts"
        raise ValueError(
            f"`pair` of the task must be {expected}. "
            f"Received: pair={task.pair!r} and records with pairs={settings['pairs']!r} in {data}"
        )
    if length > task.config.max_length:
        raise ValueError(
            f"The records must be at most the {task.config.max_length} tokens long that the model "
            f"takes. Received: records of {length} tokens in {data}"
        )
    theirs = Tokenizer.from_folder(data / TOKENIZER).tokens
    own = None if task.tokenizer is None else task.tokenizer.tokens
    if theirs != own and (own is not None or len(theirs) != task.config.vocab_size):
        raise ValueError(
            "The records must be made with the vocabulary of the model: prepare the text with "
            "the tokenizer of the model, or train a new model. Received: a model of "
            f"{task.config.vocab_size} tokens and records of {len(theirs)} "
            f"{'other ' if own is not None else ''}tokens in {data}"
        )


def _dataset(batches: Sequence[Batch]) -> Any:
    """Make of batches what `fit` evaluates, in whole, for each line of the logs."""
    import grain

    return grain.MapDataset.source(batches).to_iter_dataset() if batches else None


def _measure(task: Any, batches: Sequence[Batch]) -> dict[str, float] | None:
    """Evaluate on held-out batches, beside the guess that needs no model."""
    if not batches:
        return None
    values = task.evaluate(_dataset(batches), steps=len(batches), return_dict=True, verbose=0)
    measured = {name: float(value) for name, value in values.items()}
    predictions = sum(int(weights["masked"].sum()) for _, _, weights in batches)
    return {
        **measured,
        "unigram_accuracy": unigram_accuracy(batches),
        "predictions": predictions,
    }


def _write(
    task: Any, out: Path, history: Mapping[str, Sequence[float]], result: Mapping[str, Any]
) -> None:
    """Write the model, the picture and, last, the result."""
    held_out = result["held_out"]
    guess = {"always the commonest token": held_out["unigram_accuracy"]} if held_out else {}
    plot_history(history, out / "curves.png", guess)
    save(task, out / "model.keras")
    save_huggingface(task, out / "huggingface")
    write_json(out / "run.json", result)
