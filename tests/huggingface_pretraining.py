"""Pretraining by Hugging Face transformers; see `tests.huggingface`."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.huggingface import NAMES, adamw, random_model, run, write_info


def compare(
    model: pathlib.Path, task: Any, inputs: dict[str, Any], folder: pathlib.Path
) -> tuple[float, dict[str, list[str]]]:
    """Load a folder as `BertForPreTraining`.

    Return how far its logits are from those of a task, and what transformers says of the folder.
    What is in `folder` already is not computed again.
    """
    from tests.arrays import to_numpy

    if not (folder / "logits.npz").is_file():
        batch = folder.with_suffix(".npz")
        np.savez(batch, **inputs)
        run("pretrained", folder, model=str(model), batch=str(batch))
    with np.load(folder / "logits.npz") as theirs:
        rows = np.arange(len(inputs["mask_positions"]))[:, None]
        masked = theirs["masked"][rows, inputs["mask_positions"]]
        expected = {"masked": masked, "pair": theirs["pair"]}
    logits = {name: to_numpy(each) for name, each in task(inputs).items()}
    distance = max(np.abs(logits[name] - expected[name]).max() for name in expected)
    return float(distance), json.loads((folder / "info.json").read_text())


def _pretrain(
    folder: pathlib.Path,
    sizes: dict[str, Any],
    shape: list[int],
    steps: int,
    optimizer: dict[str, Any],
) -> None:
    """Train a random `BertForPreTraining`, and write it as it was, the batches and the losses.

    `shape` has the size of the batch, the length and the predictions. No dropout; no decay of
    biases and normalizations.
    """
    import torch

    model = random_model("BertForPreTraining", **sizes)
    model.save_pretrained(folder / "model")
    adam = adamw(model, **optimizer)
    random = np.random.default_rng(0)
    losses: list[list[float]] = []
    for step in range(steps):
        batch = _pretraining_batch(random, sizes["vocab_size"], *shape)
        np.savez(folder / f"batch_{step}.npz", **batch)
        rows, places = np.nonzero(batch["weights"])
        labels = np.full(batch["token_ids"].shape, -100)
        labels[rows, batch["mask_positions"][rows, places]] = batch["labels"][rows, places]
        tensors = {NAMES[key]: torch.from_numpy(batch[key]) for key in NAMES}
        pair = torch.from_numpy(batch["pair"])
        outputs = model(**tensors, labels=torch.from_numpy(labels), next_sentence_label=pair)
        logits = outputs.seq_relationship_logits
        of_pairs = torch.nn.functional.cross_entropy(logits, pair)
        losses.append([float(outputs.loss), float(outputs.loss - of_pairs), float(of_pairs)])
        adam.zero_grad()
        outputs.loss.backward()
        adam.step()
    (folder / "losses.json").write_text(json.dumps(losses), "utf-8")


def _pretraining_batch(
    random: np.random.Generator, vocab_size: int, rows: int, length: int, predictions: int
) -> dict[str, Any]:
    """Make pairs of different lengths, with different numbers of predictions."""
    shape = (rows, length)
    real = np.arange(length) < random.integers(predictions, length + 1, rows)[:, None]
    count = random.integers(1, predictions + 1, rows)[:, None]
    places = np.argsort(np.where(real, random.random(shape), 2.0), axis=1)[:, :predictions]
    weights = np.arange(predictions) < count
    batch = {
        # Not 0: no gradient flows into what PyTorch takes for padding.
        "token_ids": random.integers(1, vocab_size, shape) * real,
        "segment_ids": random.integers(0, 2, shape) * real,
        "padding_mask": real,
        "mask_positions": places * weights,
        "labels": random.integers(0, vocab_size, (rows, predictions)) * weights,
        "weights": weights,
        "pair": random.integers(0, 2, rows),
    }
    return {name: array.astype("int64") for name, array in batch.items()}


def _pretrained(folder: pathlib.Path, model: str, batch: str) -> None:
    """Write what transformers says of a `BertForPreTraining`, and its logits at all positions."""
    import torch
    from transformers import BertForPreTraining

    loaded, info = BertForPreTraining.from_pretrained(model, output_loading_info=True)
    write_info(folder, info)
    with np.load(batch) as arrays, torch.no_grad():
        tensors = {NAMES[key]: torch.from_numpy(arrays[key].astype("int64")) for key in NAMES}
        outputs = loaded.eval()(**tensors)
    logits = {"masked": outputs.prediction_logits, "pair": outputs.seq_relationship_logits}
    np.savez(folder / "logits.npz", **logits)


JOBS: dict[str, Callable[..., None]] = {"pretrain": _pretrain, "pretrained": _pretrained}
