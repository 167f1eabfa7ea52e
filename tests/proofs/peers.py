"""What other exporters do with the same MiniLM: each claim of the README's table is run here.

A probe is done once its `.json` is in the folder; a run that was interrupted goes on with the next
one. What a probe needs besides the development environment goes to an environment of its own.
"""

import dataclasses
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.proofs.probes import (
    KERAS,
    KZOO,
    LENGTH,
    LITERT,
    OPTIMUM,
    PRESET,
    PROBES,
    QUANTIZER,
    Facts,
    texts,
)

# What is read rather than run, from the sources below.
READ = {
    "takes": {
        KZOO: "Keras 3 models, any backend",
        KERAS: "Keras 3 models",
        OPTIMUM: "Hugging Face models",
        LITERT: "PyTorch models",
        QUANTIZER: "float TFLite files",
    },
    "writes": {
        KZOO: "TFLite, ONNX",
        KERAS: "TFLite, ONNX",
        OPTIMUM: "ONNX",
        LITERT: "TFLite",
        QUANTIZER: "TFLite",
    },
    "runs the file and compares": {
        KZOO: "always, every output",
        KERAS: "no",
        OPTIMUM: "the float file; a difference is a warning",
        LITERT: "no",
        QUANTIZER: "on request; by default on one random sample",
    },
    "report beside the file": {
        KZOO: "JSON and Markdown",
        KERAS: "no",
        OPTIMUM: "no",
        LITERT: "no",
        QUANTIZER: "on request",
    },
}
SOURCES = (
    "keras 3.15.1 `keras/src/export/litert.py` and `onnx.py` (no file is loaded again)",
    "optimum-onnx 0.1.0 `optimum/exporters/onnx/convert.py` (`AtolError` becomes a warning)",
    "litert-torch 0.10.0 `litert_torch/model.py` (`export`)",
    "ai-edge-quantizer 0.10.0 `quantizer.py` (`validate`)",
)
TOY = ("keras_from_jax", "keras_to_onnx")


def run(folder: Path, names: tuple[str, ...] = tuple(PROBES)) -> bool:
    """Run every probe that is not done yet, and print the table."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in names:
        answer = folder / f"{name}.json"
        if not answer.is_file():
            print(f"{name} ...", flush=True)
            execute(name, folder)
        results[name] = json.loads(answer.read_text())
    print(markdown(results))
    return all(facts.get("right", True) for facts in results.values())


def execute(name: str, folder: Path) -> None:
    """Run one probe in a process of its own, and judge the files it made."""
    from tests.bench.competitors import weights_folder

    probe = PROBES[name]
    python = environment(folder / f"{name}_environment", probe.installs)
    root = str(Path(__file__).parents[2])
    paths = [root, *([] if probe.installs else sys.path)]
    done = subprocess.run(
        [python, "-m", "tests.proofs.probes", name, str(folder)],
        env={
            **os.environ,
            "KERAS_BACKEND": probe.backend,
            "PYTHONPATH": os.pathsep.join(paths),
            "WEIGHTS": str(weights_folder()),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    partial = folder / f"{name}.partial"
    if done.returncode or not partial.is_file():
        raise RuntimeError(f"The probe {name} failed.\n{done.stderr[-2000:]}")
    facts = json.loads(partial.read_text())
    judged = {
        format: judge(folder / file, probe.huggingface)
        for format, file in facts.get("files", {}).items()
    }
    (folder / f"{name}.json").write_text(json.dumps({**facts, "judged": judged}, indent=2))
    partial.unlink()


def environment(folder: Path, installs: tuple[str, ...]) -> str:
    """Install packages beside ours, and return the interpreter that has them."""
    python = folder / "bin" / "python"
    if not installs:
        return sys.executable
    if not (folder / "done").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *installs]
        subprocess.run(install, check=True)
        (folder / "done").touch()
    return str(python)


@functools.cache
def reference() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Make the texts that files are judged on, and the hidden states of the model."""
    import kzoo
    from kzoo.data import sample_texts

    # The third share of the texts: nothing was calibrated on them.
    batch = kzoo.load_tokenizer(PRESET)(texts(sample_texts(), 2), length=LENGTH)
    return batch, np.asarray(kzoo.load(PRESET).predict(batch, batch_size=8, verbose=0)["hidden"])


def judge(path: Path, huggingface: bool) -> Facts:
    """Run a file on texts, and compare its sentence vectors with the model's."""
    from tests.bench.report import pooled
    from tests.bench.subjects import HUGGINGFACE, KERASHUB
    from tests.bench.timing import beside, feeds_for, worker

    batch, hidden = reference()
    subject = (HUGGINGFACE if huggingface else KERASHUB)[0]
    if path.suffix == ".tflite":
        subject = dataclasses.replace(subject, dtype="int32")
    with worker(path, feeds_for(subject, batch), threads=2):
        pass
    with np.load(beside(path, "out.npz")) as outputs:
        (output,) = [array for array in outputs.values() if array.shape == hidden.shape]
    vectors, expected = (pooled(array, batch["padding_mask"]) for array in (output, hidden))
    cosines = (vectors * expected).sum(-1)
    return {
        "size": path.stat().st_size,
        "mean": float(cosines.mean()),
        "least": float(cosines.min()),
    }


def markdown(results: dict[str, Facts]) -> str:
    """Lay out the table: what was run, and what is read in the peers' own words or code."""
    columns = list(dict.fromkeys(probe.peer for probe in PROBES.values()))
    rows = {
        **{question: dict(answers) for question, answers in READ.items()},
        "int8 MiniLM: MB, cosine (least)": found(results, files_of),
        "when something is lost": found(results, lambda facts: facts.get("says", "")),
    }
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for question, answers in rows.items():
        cells = (answers.get(column, "") for column in columns)
        lines.append("| " + " | ".join((question, *cells)) + " |")
    versions = dict.fromkeys(
        f"{package} {version}"
        for facts in results.values()
        for package, version in facts["with"].items()
    )
    return "\n".join(
        [
            *lines,
            "",
            f"Run with {', '.join(versions)}. Read in {'; '.join(SOURCES)}.",
        ]
    )


def files_of(facts: Facts) -> str:
    """Describe the files of a probe."""
    return ", ".join(
        f"{format} {each['size'] / 1e6:.1f} MB {each['mean']:.4f} ({each['least']:.4f})"
        for format, each in facts["judged"].items()
    )


def found(results: dict[str, Facts], describe: Callable[[Facts], str]) -> dict[str, str]:
    """Gather what the probes of each peer found."""
    cells: dict[str, list[str]] = {}
    for name, facts in results.items():
        if text := describe(facts):
            cells.setdefault(PROBES[name].peer, []).append(text)
    return {peer: "; ".join(texts) for peer, texts in cells.items()}
