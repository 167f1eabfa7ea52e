"""Fine-tuning a classifier by Hugging Face transformers; see `tests.huggingface`."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.huggingface import NAMES, adamw, random_model


def _classify(
    folder: pathlib.Path,
    sizes: dict[str, Any],
    labels: list[str],
    shape: list[int],
    steps: int,
    optimizer: dict[str, Any],
    problem: str | None = None,
) -> None:
    """Train a random `BertForSequenceClassification`, and write it as it was, batches and losses.

    `problem` is its `problem_type`, which Hugging Face guesses where nothing is said. `shape` has
    the size of the batch and the length. No dropout, no decay of biases and normalizations, a rate
    that rises for two steps and falls to 0.
    """
    import torch
    from transformers import get_linear_schedule_with_warmup

    names = dict(enumerate(labels))
    indices = {label: index for index, label in names.items()}
    kind = "BertForSequenceClassification"
    known = {"problem_type": problem} if problem else {}
    model = random_model(kind, **sizes, id2label=names, label2id=indices, **known)
    model.save_pretrained(folder / "model")
    adam = adamw(model, **optimizer)
    schedule = get_linear_schedule_with_warmup(adam, 2, steps)
    random, losses = np.random.default_rng(0), []
    for step in range(steps):
        mask = np.arange(shape[1]) < random.integers(3, shape[1] + 1, shape[0])[:, None]
        batch = {
            "token_ids": random.integers(1, sizes["vocab_size"], shape) * mask,
            "segment_ids": random.integers(0, 2, shape) * mask,
            "padding_mask": mask.astype("int64"),
        }
        first = batch["token_ids"][:, 0]
        answers = first % len(labels)
        if problem == "multi_label_classification":
            answers = (first[:, None] >> np.arange(len(labels)) & 1).astype("float32")
        if len(labels) == 1:
            answers = (first % 7 / 2).astype("float32")
        arrays: dict[str, Any] = {**batch, "labels": answers}
        np.savez(folder / f"batch_{step}.npz", **arrays)
        tensors = {NAMES[key]: torch.from_numpy(batch[key]) for key in NAMES}
        outputs = model(**tensors, labels=torch.from_numpy(answers))
        losses.append(float(outputs.loss))
        adam.zero_grad()
        outputs.loss.backward()
        adam.step()
        schedule.step()
    (folder / "losses.json").write_text(json.dumps(losses), "utf-8")


def _classified(folder: pathlib.Path, model: str, batch: str) -> None:
    """Write the logits, the labels and the problem of a `BertForSequenceClassification`."""
    import torch
    from transformers import AutoModelForSequenceClassification

    loaded = AutoModelForSequenceClassification.from_pretrained(model).eval()
    with np.load(batch) as arrays, torch.no_grad():
        tensors = {NAMES[key]: torch.from_numpy(arrays[key].astype("int64")) for key in NAMES}
        np.savez(folder / "logits.npz", logits=loaded(**tensors).logits)
    told = [list(loaded.config.id2label.values()), loaded.config.problem_type]
    (folder / "labels.json").write_text(json.dumps(told))


JOBS: dict[str, Callable[..., None]] = {"classify": _classify, "classified": _classified}
