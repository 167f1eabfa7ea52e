"""Pictures of how training went."""

import os
import pathlib
from collections.abc import Mapping, Sequence

from kzoo.arguments import require_packages
from kzoo.json_file import whole_file

History = Mapping[str, Sequence[float]]


def plot_history(
    history: History,
    path: str | os.PathLike[str],
    baselines: Mapping[str, float] | None = None,
) -> None:
    """Draw the losses and the accuracies of training over its steps, side by side.

    Args:
        history: The values of each log, as in `fit(...).history`. With `StepLogs`, its `step` is
            the horizontal axis; names that begin with `val_` are those of held-out data.
        path: The `.png` file to write.
        baselines: Accuracies to compare with by name, drawn as dotted lines.

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
            axes.plot(steps, history[name], color=color, ls="--" if held_out else "-", label=label)
        for name, value in (baselines or {}).items() if kind == "accuracy" else ():
            axes.axhline(value, color="gray", ls=":", label=name)
        axes.set(xlabel="step", ylabel=kind)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    with whole_file(pathlib.Path(path)) as unfinished:
        figure.savefig(unfinished, format="png", dpi=120)
