"""Fine-tuning on two public sets: scores beside Hugging Face's, accuracy of the files, speed.

Cells, each done once its `.json` is in the folder: the run of `kzoo finetune` on each set; training
by either library with three seeds, on a fixed draw, with the same rate, schedule, batches and
sorting by length; every file of the trained classifiers on the whole test split; and an epoch and a
prediction timed in turns.
"""

import functools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.proofs.labeled import Set, find_sets
from tests.proofs.trainers import BATCH_SIZE, RATE, THEIRS, Child, children

BACKENDS = ("torch", "tensorflow", "jax")
RECIPES = {
    "onnx": ("dynamic_int8", "static_int8", "weight_int4"),
    "tflite": ("dynamic_int8", "static_int8", "weight_int4", "static_int16x8"),
}
# What a file may lose: a share of tweets, or a number of news.
LOSSES = {
    "dynamic_int8": (0.002, 2),
    "static_int16x8": (0.003, 2),
    "static_int8": (0.01, 5),
    "weight_int4": (0.01, 5),
}
SEED_EPOCHS, SEED_BOUND = 2, 0.01
LEAST_SPEED = {"torch": 1.0, "tensorflow": 0.9, "jax": 0.9}
LEAST_PREDICT = 1.5


class Size(NamedTuple):
    """How much is done."""

    model: str = "minilm_l6_v2"
    seeds: int = 3
    draw: int = 8000
    timed: int = 768
    predicted: int = 2000
    repeats: int = 3
    backends: tuple[str, ...] = BACKENDS
    recipes: Mapping[str, tuple[str, ...]] = RECIPES
    goals: bool = True


Parts = dict[str, tuple[list[str], list[str]]]


def run(folder: Path, size: Size = Size(), sets: Mapping[str, Set] | None = None) -> bool:  # noqa: B008
    """Do what is not done yet, print the tables, and tell whether every goal is met."""
    folder.mkdir(parents=True, exist_ok=True)
    sets = sets or find_sets(folder / "data")
    with children(size.model) as child:
        met = [
            _scores(folder, size, sets),
            _files(folder, size, sets),
            _speed(folder, size, sets, child),
            _beside(folder, size, sets, child),
        ]
    return all(met) or not size.goals


def _done(path: Path, work: Callable[[], Any]) -> Any:
    """Return the answer in a file, which is found out only once."""
    if not path.is_file():
        answer = json.dumps(work())
        path.write_text(answer, "utf-8")
    return json.loads(path.read_text("utf-8"))


def _scores(folder: Path, size: Size, sets: Mapping[str, Set]) -> bool:
    """Run `kzoo finetune` on the whole training split of each set."""
    table = Table(title=f"kzoo finetune, {size.model}, rate {RATE:g}, torch")
    for column in ("set", "tokens", "texts", "epochs", "accuracy", "goal", "macro F1", "minutes"):
        table.add_column(column, justify="left" if column == "set" else "right")
    met = True
    for name, each in sets.items():
        out = folder / "runs" / name
        if "scores" not in _read(out / "run.json"):
            options = ["--length", each.length, "--epochs", each.epochs, "--learning-rate", RATE]
            _kzoo("finetune", each.data, "--model", size.model, "--out", out, *options)
        result = _read(out / "run.json")
        scores, rows = result["scores"], result["rows"]
        met &= scores["accuracy"] >= each.goal
        table.add_row(
            *(name, str(each.length), f"{rows['train']:,} + {rows['test']:,}", str(each.epochs)),
            *(f"{scores['accuracy']:.4f}", f"{each.goal:g}", f"{scores['macro_f1']:.4f}"),
            f"{result['seconds'] / 60:.1f}",
        )
    Console(width=100).print(table)
    return met


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def _kzoo(*arguments: Any) -> None:
    command = [sys.executable, "-m", "kzoo", *map(str, arguments), "--validation", "0"]
    subprocess.run(command, env={**os.environ, "KERAS_BACKEND": "torch"}, check=True)


def _parts(each: Set) -> Parts:
    """Read a set as `kzoo finetune` reads it."""
    from kzoo.data.labeled import read_labeled
    from kzoo.data.splitting import make_parts

    parts = make_parts(read_labeled(each.data).parts, validation=0.0).parts
    return {name: (data.texts, data.labels) for name, data in parts.items()}


def _draw(texts: list[str], labels: list[str], count: int) -> tuple[list[str], list[str]]:
    """Draw some rows, always the same ones."""
    rows = np.random.default_rng(0).permutation(len(texts))[:count]
    return [texts[row] for row in rows], [labels[row] for row in rows]


def _beside(
    folder: Path, size: Size, sets: Mapping[str, Set], child: Callable[[str], Child]
) -> bool:
    """Train with several seeds by both libraries."""
    table = Table(title=f"{size.seeds} seeds, {SEED_EPOCHS} epochs, torch, whole test split")
    for column in ("set", "texts", "kzoo", "Hugging Face", "difference", "bound", "met"):
        table.add_column(column, justify="left" if column == "set" else "right")
    met = True
    for name, each in sets.items():
        parts = _parts(each)
        train = _draw(*parts["train"], size.draw)
        job = {"train": train, "test": parts["test"], "length": each.length, "epochs": SEED_EPOCHS}
        means, cells = [], []
        for tool in ("torch", THEIRS):
            accuracies = []
            for seed in range(size.seeds):
                train_once = functools.partial(_train, child, tool, seed=seed, **job)
                answer = _done(folder / f"{name}_{tool}_{seed}.json", train_once)
                accuracies.append(answer["accuracy"])
            means.append(statistics.mean(accuracies))
            error = statistics.stdev(accuracies) / len(accuracies) ** 0.5
            cells.append(f"{means[-1]:.4f} ± {error:.4f}")
        difference = means[0] - means[1]
        met &= abs(difference) <= SEED_BOUND
        table.add_row(
            *(name, f"{len(train[0]):,}", *cells, f"{difference:+.4f}", f"{SEED_BOUND:g}"),
            "yes" if abs(difference) <= SEED_BOUND else "no",
        )
    table.caption = "± standard error of the mean over the seeds"
    Console(width=100).print(table)
    return met


def _train(child: Callable[[str], Child], tool: str, **job: Any) -> dict[str, Any]:
    return child(tool)(**job)


def _files(folder: Path, size: Size, sets: Mapping[str, Set]) -> bool:
    """Export what `kzoo finetune` made, in every recipe, and measure it on the whole split."""
    table = Table(title="Files on the whole test splits")
    for column in (
        "set",
        "file",
        "MB",
        "model",
        "file",
        "texts lost",
        "bound",
        "agree",
        "met",
    ):
        table.add_column(column, justify="left" if column in ("set", "file") else "right")
    met = True
    for name, each in sets.items():
        texts = len(_parts(each)["test"][0])
        for format, recipe in ((f, r) for f, recipes in size.recipes.items() for r in recipes):
            answer = _done(
                folder / f"{name}_{format}_{recipe}.json",
                functools.partial(
                    _export, folder / "runs" / name, each, f"{name}_{recipe}.{format}", recipe
                ),
            )
            share, count = LOSSES[recipe]
            lost = round((answer["model"] - answer["file"]) * texts)
            bound = count if name == "bbc" else int(share * texts)
            met &= lost <= bound
            table.add_row(
                *(name, f"{recipe}, {format}", f"{answer['size'] / 1e6:.1f}"),
                *(f"{answer['model']:.4f}", f"{answer['file']:.4f}", str(lost), str(bound)),
                *(f"{answer['agreement']:.4f}", "yes" if lost <= bound else "no"),
            )
    Console(width=110).print(table)
    return met


def _export(out: Path, each: Set, file: str, recipe: str) -> dict[str, Any]:
    """Export a run; verified on all that was held out, calibrated on what was trained on."""
    import kzoo
    from kzoo.data.labeled import read_labeled
    from kzoo_export import export

    samples, calibration = (
        read_labeled(out / part).parts["all"] for part in ("held_out.jsonl", "calibration.jsonl")
    )
    report = export(
        kzoo.load(out / "model.keras"),
        out / file,
        recipe,
        length=each.length,
        samples=(samples.x, samples.labels),
        calibration=calibration.x,
    )
    (accuracy,) = report.verification.accuracies
    return {
        "model": accuracy.model,
        "file": accuracy.file,
        "agreement": report.verification.outputs[0].agreement,
        "size": report.size,
    }


def _speed(
    folder: Path, size: Size, sets: Mapping[str, Set], child: Callable[[str], Child]
) -> bool:
    """Time an epoch, and the labels of texts of mixed length, in turns."""
    times = _done(folder / "speed.json", functools.partial(_time, size, sets, child))
    table = Table(title=f"Speed against Hugging Face, median of {size.repeats} turns (least, most)")
    for column in ("backend", "epoch", "least", "predict", "least", "met"):
        table.add_column(column, justify="left" if column == "backend" else "right")
    met = True
    for backend in size.backends:
        cells, enough = [], True
        for what, least in (("epoch", LEAST_SPEED[backend]), ("predict", LEAST_PREDICT)):
            pairs = zip(times[THEIRS][what], times[backend][what], strict=True)
            ratios = sorted(theirs / ours for theirs, ours in pairs)
            median = statistics.median(ratios)
            cells += [f"{median:.2f} ({ratios[0]:.2f}, {ratios[-1]:.2f})", f"{least:g}"]
            enough &= median >= least
        table.add_row(backend, *cells, "yes" if enough else "no")
        met &= enough
    table.caption = (
        f"{size.timed:,} tweets an epoch, batches of {BATCH_SIZE} sorted by length, without the "
        f"compilation; {size.predicted:,} tweets and paragraphs of news predicted"
    )
    Console(width=100).print(table)
    return met


def _time(
    size: Size, sets: Mapping[str, Set], child: Callable[[str], Child]
) -> dict[str, dict[str, list[float]]]:
    """Let all train and predict in turns; of training the second epoch counts, of predictions the
    second as well."""
    tools = (THEIRS, *size.backends)
    tweets, news = (_parts(sets[name]) for name in ("tweets", "bbc"))
    train = _draw(*tweets["train"], size.timed)
    half = size.predicted // 2
    lines = [line for text in news["train"][0] for line in text.splitlines() if line.strip()]
    mixed = [text for texts in (tweets["train"][0], lines) for text in _draw(texts, texts, half)[0]]
    mixed = _draw(mixed, mixed, size.predicted)[0]
    times: dict[str, dict[str, list[float]]] = {
        tool: {"epoch": [], "predict": []} for tool in tools
    }
    for repeat in range(size.repeats):
        for tool in tools:
            job = {"train": train, "length": sets["tweets"].length, "epochs": 2, "seed": repeat}
            times[tool]["epoch"].append(child(tool)(**job)["epochs"][-1])
    for tool in tools:
        # Of a few texts: what is timed is the work, not the labels.
        child(tool)(train=_draw(*train, BATCH_SIZE), length=sets["bbc"].length, epochs=1, seed=0)
        child(tool)(predict=mixed)
    for _ in range(size.repeats):
        for tool in tools:
            times[tool]["predict"].append(child(tool)(predict=mixed)["seconds"])
    return times
