"""Pictures of how training went."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kzoo.arguments import require_packages
from kzoo.json_file import whole_file

History = Mapping[str, Sequence[float]]
# Labels of a confusion matrix with numbers in it: of more, they cannot be read.
_MOST_NUMBERS = 30


def plot_history(
    history: History,
    path: str | os.PathLike[str],
    baselines: Mapping[str, float] | None = None,
    unit: str = "step",
) -> None:
    """Draw the losses and the accuracies of training over its steps, side by side.

    Args:
        history: The values of each log, as in `fit(...).history`. With `StepLogs`, its `step` is
            the horizontal axis; names that begin with `val_` are those of held-out data.
        path: The `.png` file to write.
        baselines: Accuracies to compare with by name, drawn as dotted lines.
        unit: What the horizontal axis counts.

    Raises:
        ImportError: If the package `matplotlib` is missing.
        ValueError: If the history has neither a loss nor an accuracy.
    """
    require_packages(("matplotlib",), "pretrain", "drawing how training went")
    from matplotlib.figure import Figure

    panels = {
        kind: [name for name in history if name.endswith(kind)] for kind in ("loss", "accuracy")
    }
    panels = {kind: names for kind, names in panels.items() if names}
    if not panels:
        raise ValueError(
            f"`history` must have a loss or an accuracy. Received: history of {list(history)}"
        )
    figure = Figure(figsize=(5.5 * len(panels), 4), layout="constrained")
    for axes, (kind, names) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        colors: dict[str, str] = {}
        for name in names:
            plain = name.removeprefix("val_")
            color = colors.setdefault(plain, f"C{len(colors)}")
            held_out = name != plain
            label = plain.replace("_", " ") + (" (held out)" if held_out else "")
            steps = history.get("step", range(1, len(history[name]) + 1))
            line = "--" if held_out else "-"
            # A single point has no line.
            marker = "o" if len(history[name]) == 1 else None
            axes.plot(steps, history[name], marker=marker, color=color, ls=line, label=label)
        for name, value in (baselines or {}).items() if kind == "accuracy" else ():
            axes.axhline(value, color="gray", ls=":", label=name)
        axes.set(xlabel=unit, ylabel=kind)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def plot_confusion(
    confusion: np.ndarray, labels: Sequence[str], path: str | os.PathLike[str]
) -> None:
    """Draw how often each true label got each label.

    Args:
        confusion: Counts (C, C): a row for each true label, a column for each that it got.
        labels: Their names.
        path: The `.png` file to write.

    Raises:
        ImportError: If the package `matplotlib` is missing.
    """
    require_packages(("matplotlib",), "pretrain", "drawing a confusion matrix")
    from matplotlib.figure import Figure

    count = len(labels)
    size = min(3 + 0.5 * count, 24)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    # The color tells the share of the row: labels are not equally frequent.
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(count), labels, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), labels)
    axes.set(xlabel="predicted", ylabel="true")
    for (row, column), number in np.ndenumerate(confusion) if count <= _MOST_NUMBERS else ():
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{number:,}", ha="center", va="center", color=color)
    _save(figure, path)


def plot_f1(f1: Mapping[str, float], path: str | os.PathLike[str]) -> None:
    """Draw F1 of each label as a bar, the highest on top.

    Args:
        f1: F1 by label.
        path: The `.png` file to write.

    Raises:
        ImportError: If the package `matplotlib` is missing.
    """
    require_packages(("matplotlib",), "pretrain", "drawing F1")
    from matplotlib.figure import Figure

    labels = sorted(f1, key=lambda label: f1[label])
    figure = Figure(figsize=(6, min(1.5 + 0.3 * len(labels), 24)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(labels, [f1[label] for label in labels])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set(xlabel="F1", xlim=(0, 1.1))
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def plot_numbers(
    true: np.ndarray, told: np.ndarray, name: str, path: str | os.PathLike[str]
) -> None:
    """Draw predicted numbers over the true ones.

    Args:
        true: The true numbers, (N,).
        told: What was predicted, (N,).
        name: What they are.
        path: The `.png` file to write.

    Raises:
        ImportError: If the package `matplotlib` is missing.
    """
    require_packages(("matplotlib",), "pretrain", "drawing predictions")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(true, told, s=12, alpha=0.4, linewidths=0)
    ends = [min(true.min(), told.min()), max(true.max(), told.max())]
    axes.plot(ends, ends, color="gray", ls=":", label="no error")
    axes.set(xlabel=f"{name}, true", ylabel=f"{name}, predicted")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _save(figure: Any, path: str | os.PathLike[str]) -> None:
    with whole_file(pathlib.Path(path)) as unfinished:
        figure.savefig(unfinished, format="png", dpi=120)
