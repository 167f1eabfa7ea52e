"""How fast text becomes records, and records become batches."""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import kzoo
from kzoo.data import Tokenizer, pretraining_dataset
from kzoo.data.prepare import prepare

LENGTH = 128


def write_text(folder: Path, megabytes: float) -> None:
    """Write the sentences of the package again and again, as documents of 12 sentences."""
    random = np.random.default_rng(0)
    sentences = kzoo.data.sample_texts()
    size = 0
    with (folder / "text.txt").open("w", encoding="utf-8") as file:
        while size < megabytes * 1e6:
            size += file.write(" ".join(random.choice(sentences, 12)) + "\n\n")


def time_preparation(
    folder: Path, tokenizer: Tokenizer, repeats: int, workers: int
) -> dict[str, list[float]]:
    """Time `prepare` beside `encode_batch` of `tokenizers`, in turns; MB of text a second."""
    text = folder / "text.txt"
    documents = text.read_text("utf-8").strip().split("\n\n")
    size = text.stat().st_size / 1e6
    speeds: dict[str, list[float]] = {"prepare": [], "encode_batch": []}
    for turn in range(repeats):
        start = time.perf_counter()
        tokenizer.backend.encode_batch(documents)
        speeds["encode_batch"].append(size / (time.perf_counter() - start))
        start = time.perf_counter()
        prepare([text], folder / f"data_{turn}", tokenizer, length=LENGTH, workers=workers)
        speeds["prepare"].append(size / (time.perf_counter() - start))
    return speeds


def time_batches(folder: Path, workers: int, batches: int = 600) -> float:
    """Time masking and batching in a process of its own; return million tokens a second."""
    command = [sys.executable, "-m", "tests.bench.pretraining.data", str(folder)]
    done = subprocess.run(
        [*command, str(workers), str(batches)], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(json.loads(done.stdout))


def main() -> None:
    """Read batches of 64 and print the speed, without the start of the workers."""
    folder, workers, batches = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    iterator = iter(pretraining_dataset(folder, 64, workers=workers))
    for _ in itertools.islice(iterator, 20 * max(workers, 1)):
        pass
    tokens, start = 0, time.perf_counter()
    for x, *_ in itertools.islice(iterator, batches):
        tokens += int(x["padding_mask"].sum())
    speed = tokens / (time.perf_counter() - start) / 1e6
    if hasattr(iterator, "close"):
        iterator.close()
    print(json.dumps(speed))


if __name__ == "__main__":
    main()
