"""From real English to a verified file: ten minutes of pretraining on a CPU, by the two commands.

The text is the documentation of Python, from the Debian package `python3.11-doc`, or the folder of
text files that the environment variable `TEXT` names. What is done is not done again: delete the
folder of the proof to begin anew.
"""

import html.parser
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.huggingface_pretraining import compare

PACKAGE = "python3.11-doc"
# Elements that are text, each a paragraph; and what is no prose inside of them.
PARAGRAPHS = {"p", "dd", "li", "h1", "h2", "h3", "td"}
SKIPPED = {"script", "style", "pre", "head", "nav", "svg"}
# Logits of size 10 and rounding in another order.
BOUND = 1e-4

PREPARE = ["--train-vocab", "8192", "--length", "128"]
PRETRAIN = ["--model", "bert_tiny", "--from-scratch", "--learning-rate", "1e-3"]
STEPS = 3000


def run(
    folder: Path,
    text: Path | None = None,
    steps: int = STEPS,
    prepare: Sequence[str] = PREPARE,
    better: bool = True,
) -> bool:
    """Do it all, print a table, and say whether it is as claimed."""
    folder.mkdir(parents=True, exist_ok=True)
    text = text or find_text(folder)
    print(kzoo(folder / "prepare", "prepare", text, "--out", folder / "data", *prepare))
    options = [*PRETRAIN, "--steps", steps, "--out", folder / "run"]
    print(kzoo(folder / "pretrain", "pretrain", folder / "data", *options))
    result = json.loads((folder / "run" / "run.json").read_text())
    measured = result["held_out"]
    rows = {
        "text": f"{sum(path.stat().st_size for path in text.iterdir()) / 1e6:.1f} MB",
        "tokens read": f"{result['tokens'] / 1e6:.1f} M",
        "masked accuracy, held out": f"{measured['masked_accuracy']:.4f}",
        "always the commonest token": f"{measured['unigram_accuracy']:.4f}",
        "pair accuracy, held out": f"{measured['pair_accuracy']:.4f}",
    }
    passed = not better or measured["masked_accuracy"] > measured["unigram_accuracy"]
    for suffix in ("tflite", "onnx"):
        path = folder / f"model.{suffix}"
        options = ["--recipe", "dynamic_int8", "--length", "128"]
        print(kzoo(folder / suffix, "export", folder / "run" / "huggingface", path, *options))
    distance, info = compare_with_transformers(folder)
    passed &= distance <= BOUND and not any(info.values())
    rows["logits of transformers"] = f"within {distance:.1e} (bound {BOUND:.0e}), loaded strictly"
    table = Table("", "", title="Pretraining", show_header=False)
    for row in rows.items():
        table.add_row(*row)
    Console(width=100).print(table)
    return passed


def kzoo(done: Path, *arguments: Any) -> str:
    """Run a command and return what it prints, which is kept: a second time nothing is run."""
    if not done.is_file():
        command = [sys.executable, "-m", "kzoo", *map(str, arguments)]
        started = time.monotonic()
        printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        seconds = time.monotonic() - started
        done.write_text(f"$ kzoo {' '.join(command[3:])}\n{printed}# {seconds:.0f} s\n", "utf-8")
    return done.read_text("utf-8")


def compare_with_transformers(folder: Path) -> tuple[float, dict[str, list[str]]]:
    """Load the run's folder in `transformers`; return how far its logits are, and what it says."""
    from kzoo.data import held_out_batches
    from kzoo.tasks import Pretraining

    (x, *_), *_ = held_out_batches(folder / "data", 16, 1)
    task = Pretraining.from_pretrained(folder / "run" / "model.keras")
    return compare(folder / "run" / "huggingface", task, x, folder / "theirs")


def find_text(folder: Path) -> Path:
    """Return the folder of text files: the one that was named, or Python's documentation."""
    if "TEXT" in os.environ:
        return Path(os.environ["TEXT"])
    text = folder / "text"
    if not text.is_dir():
        package, unfinished = folder / "package", folder / "text.unfinished"
        package.mkdir(exist_ok=True)
        subprocess.run(["apt-get", "download", PACKAGE], cwd=package, check=True)
        (archive,) = package.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(package)], check=True)
        unfinished.mkdir(exist_ok=True)
        for path in sorted(package.rglob("*.html")):
            reader = TextOfPage()
            reader.feed(path.read_text("utf-8"))
            if lines := reader.lines():
                name = "_".join(path.relative_to(package).with_suffix(".txt").parts[-2:])
                (unfinished / name).write_text("\n".join(lines) + "\n", "utf-8")
        unfinished.rename(text)
    return text


class TextOfPage(html.parser.HTMLParser):
    """The prose of a page: a line for each paragraph."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[list[str]] = []
        self.open = self.skipped = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag in SKIPPED:
            self.skipped += 1
        elif tag in PARAGRAPHS:
            self.open += 1
            self.parts.append([])

    def handle_endtag(self, tag: str) -> None:
        if tag in SKIPPED:
            self.skipped -= 1
        elif tag in PARAGRAPHS:
            self.open -= 1

    def handle_data(self, data: str) -> None:
        if self.open and not self.skipped:
            self.parts[-1].append(data)

    def lines(self) -> list[str]:
        """Return the paragraphs that are sentences, each on one line."""
        found = (" ".join("".join(part).replace("¶", "").split()) for part in self.parts)
        return [line for line in found if len(line.split()) > 4]
