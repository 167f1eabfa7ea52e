"""Fine-tuning from beginning to end: training, scores, pictures, and what is kept."""

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_counts, check_positive_integers, require_packages
from kzoo.data.labeled import LabeledTexts
from kzoo.data.splitting import hash_of, hashes_of
from kzoo.json_file import read_json_object, write_json, write_json_lines
from kzoo.models import save, save_huggingface
from kzoo.tasks.model_card import PICTURES, write_card
from kzoo.training.lora import lora
from kzoo.training.plots import plot_confusion, plot_f1, plot_history, plot_numbers
from kzoo.training.runs import COPIES, check_new_folder, check_room, check_same

# What lies in the folder of a run.
MODEL, RUN, HELD_OUT = "model.keras", "run.json", "held_out.jsonl"
CALIBRATION = "calibration.jsonl"
_CHECKPOINT = "checkpoint.safetensors"
# Texts of training that are kept for recipes which find ranges on them.
_MOST_CALIBRATION = 256


def finetune(
    classifier: Any,
    parts: Mapping[str, LabeledTexts],
    out: str | os.PathLike[str],
    epochs: int = 3,
    batch_size: int = 32,
    learning_rate: float | None = None,
    layer_decay: float | None = None,
    patience: int | None = None,
    class_weight: Mapping[str, float] | str | None = None,
    lora_rank: int | None = None,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a classifier, measure it on the texts that were held out, and write both.

    Writes into `out` the classifier as `model.keras` and the folder `huggingface`; the model card
    `README.md`; `curves.png` and, by the problem, `confusion.png`, `f1.png` or `predictions.png`;
    `held_out.jsonl`, the texts it was measured on;
    `calibration.jsonl`, some that it was trained on; `split.json`, the hashes of the texts of each
    part; and `run.json` with the result. Called again after an interruption, it goes on from the
    last whole epoch.

    Args:
        classifier: A `TextClassifier` with a tokenizer.
        parts: What `kzoo.data.make_parts` returned: `train`, `test` and perhaps `validation`. With
            the latter the best epoch is kept, else the last one.
        out: A new or empty folder, or that of an interrupted run of the same arguments.
        epochs: Most passes over the texts of `train`.
        batch_size: Texts in a batch.
        learning_rate: The highest rate, 5e-5 by default.
        layer_decay: As for `TextClassifier.fit`.
        patience: Epochs without a lower loss on `validation` after which training stops; by default
            all are made.
        class_weight: As for `TextClassifier.fit`.
        lora_rank: Train low-rank changes of this rank, and the head, in place of all weights; see
            `kzoo.training.lora`.
        seed: Seed of everything random.
        progress: Called with each step and the fraction that is done.
        facts: What else `run.json` and the model card say, of JSON types: `model`, `license`,
            `data`, `command`, ... An interrupted run is continued with the same ones only.

    Returns:
        The content of `run.json`: `scores` on `test`, `history`, `epochs`, `best_epoch`, ...

    Raises:
        ValueError: If an argument is not as it must be, or the loss is not finite.
        OSError: If the disk has no room for the model.
    """
    require_packages(("matplotlib",), "pretrain", "fine-tuning")
    check_positive_integers(epochs=epochs, batch_size=batch_size)
    check_counts(seed=seed)
    if patience is not None:
        check_positive_integers(patience=patience)
        if "validation" not in parts:
            raise ValueError(f"`patience` needs a part `validation`. Received: patience={patience}")
    for part, data in parts.items():
        if data.problem != classifier.problem:
            raise ValueError(
                f"`parts[{part!r}]` must have labels of the problem of the classifier, "
                f"{classifier.problem!r}. Received: problem={data.problem!r}"
            )
    out, report = pathlib.Path(out), progress or (lambda step, fraction: None)
    started = time.monotonic()
    known: dict[str, Any] = json.loads(json.dumps(facts or {}))
    adapted = lora(classifier, lora_rank, seed=seed) if lora_rank else contextlib.nullcontext()
    with _begun(out, classifier, known), adapted as trained:
        keras.utils.set_random_seed(seed)
        train, validation = parts["train"], parts.get("validation")
        fitted = classifier.fit(
            train.x,
            train.labels,
            validation=validation and (validation.x, validation.labels),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            layer_decay=layer_decay,
            # Of all epochs the best, also where none is too long ago.
            patience=patience or (epochs if validation else None),
            class_weight=class_weight,
            seed=seed,
            checkpoint=out / _CHECKPOINT,
            callbacks=[_Progress(report, epochs)],
            verbose=0,
        )
    report("measure", 0.95)
    history = fitted.history
    scores = classifier.evaluate(parts["test"].x, parts["test"].labels)
    best = history.get("val_loss", [])
    result = {
        **known,
        "problem": classifier.problem,
        "labels": list(classifier.labels),
        "length": classifier.length,
        "rows": {part: len(data.texts) for part, data in parts.items()},
        "data_hash": hash_of(parts),
        "parameters": classifier.count_params(),
        "trained_parameters": trained or classifier.count_params(),
        "epochs": len(history["loss"]),
        "best_epoch": best.index(min(best)) + 1 if best else len(history["loss"]),
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "layer_decay": layer_decay,
        "class_weight": class_weight,
        "seed": seed,
        "history": history,
        "scores": {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in scores._asdict().items()
        },
        "seconds": round(time.monotonic() - started, 1),
    }
    report("write", 0.97)
    # Training begins anew with every call: the averages of the optimizer need not be kept.
    classifier.choose_optimizer(learning_rate, 1)
    _write(classifier, parts, out, result)
    return result


@contextlib.contextmanager
def _begun(out: pathlib.Path, classifier: Any, facts: dict[str, Any]) -> Iterator[None]:
    """Have a folder that says what is done in it, unless training fails before it has made sense.

    It is new, or that of an interrupted run of the same facts.
    """
    new = not (out / RUN).is_file()
    if new:
        check_new_folder(out)
        # The checkpoint is written beside the last one, and then the model twice.
        check_room(out, classifier, 2 * COPIES + 2)
    else:
        _check_begun(out, facts)
    was_there = out.is_dir()
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / RUN, {"begun": facts})
    try:
        yield
    except BaseException:
        if new and not (out / _CHECKPOINT).exists():
            (out / RUN).unlink()
            if not was_there:
                out.rmdir()
        raise


def _check_begun(out: pathlib.Path, facts: dict[str, Any]) -> None:
    """Require an interrupted run."""
    begun = read_json_object(out / RUN).get("begun")
    if begun is None:
        raise ValueError(f"`out` must be new, empty or not finished. Received: {out}")
    # The same run may be continued by another command.
    ignored = {"command": None}
    check_same("`out` must be of the same run", out, {**begun, **ignored}, {**facts, **ignored})


class _Progress(keras.callbacks.Callback):
    """Reports each step."""

    def __init__(self, report: Callable[[str, float], None], epochs: int) -> None:
        super().__init__()
        self.report = report
        self.epochs = epochs
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Report the epoch and the loss."""
        done = (batch + 1) / self.params["steps"]
        loss = f", loss {float(logs['loss']):.3f}" if logs else ""
        report = f"epoch {self._epoch + 1} of {self.epochs}{loss}"
        self.report(report, 0.95 * (self._epoch + done) / self.epochs)


def _write(
    classifier: Any,
    parts: Mapping[str, LabeledTexts],
    out: pathlib.Path,
    result: Mapping[str, Any],
) -> None:
    """Write the model, what was measured and, last, the result."""
    scores = result["scores"]
    accuracy = {"test": scores["accuracy"]} if classifier.problem == "single_label" else {}
    plot_history(result["history"], out / "curves.png", accuracy, "epoch")
    path, labels = out / PICTURES[classifier.problem][1], result["labels"]
    if classifier.problem == "single_label":
        plot_confusion(np.array(scores["confusion"]), labels, path)
    elif classifier.problem == "multi_label":
        plot_f1(scores["f1"], path)
    else:
        told = classifier.predict(parts["test"].x)
        plot_numbers(np.array(parts["test"].labels), told, labels[0], path)
    write_json_lines(out / HELD_OUT, _records(parts["test"]))
    train = parts["train"]
    some = range(0, len(train.texts), -(-len(train.texts) // _MOST_CALIBRATION))
    write_json_lines(out / CALIBRATION, _records(train.take(some)))
    write_json(out / "split.json", {part: hashes_of(data) for part, data in parts.items()})
    save(classifier, out / MODEL)
    if not (out / "huggingface").exists():
        save_huggingface(classifier, out / "huggingface")
    write_card(out / "README.md", result)
    write_json(out / RUN, result)
    (out / _CHECKPOINT).unlink(missing_ok=True)


def _records(data: LabeledTexts) -> Iterator[dict[str, Any]]:
    """Yield rows as `kzoo.data.read_labeled` reads them."""
    columns = {"text": data.texts, "pair": data.seconds, "label": data.labels}
    named = {name: column for name, column in columns.items() if column is not None}
    for values in zip(*named.values(), strict=True):
        yield dict(zip(named, values, strict=True))
