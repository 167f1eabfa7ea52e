"""Every family beside `transformers`: random configs, on every backend, in both directions.

The hidden states of Hugging Face's random models are compared with those of the models that
`kzoo.load` makes of their folders, and with those that `transformers` computes of the folders that
`kzoo.save_huggingface` writes. A backend is done once its `.json` is in the folder.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.huggingface import reference
from tests.huggingface import run as run_huggingface
from tests.kzoo.models.families import CONVERTED, random_model

BACKENDS = ("tensorflow", "jax", "torch")
LENGTHS = [7, 20]
# Hidden states are of size 1: rounding, in another order, is all that may differ.
BOUND = 2e-5


def names(configs: int) -> list[str]:
    """Name the models: a family and a number."""
    return [f"{family}_{seed}" for family in CONVERTED for seed in range(configs)]


def originals(configs: int) -> Path:
    """Make the models of Hugging Face, at most once on this machine."""
    found = ((name, name.rsplit("_", 1)) for name in names(configs))
    models = {name: random_model(family, int(seed)) for name, (family, seed) in found}
    return reference("random", models=models, lengths=LENGTHS)


def run(folder: Path, configs: int = 10, backends: tuple[str, ...] = BACKENDS) -> bool:
    """Compare, print a table, and say whether every difference is below the bound."""
    folder.mkdir(parents=True, exist_ok=True)
    source = originals(configs)
    table = Table("family", "backend", "configs", "to kzoo", "and back", title="Largest difference")
    passed = True
    for backend in backends:
        path = folder / f"{backend}_{configs}.json"
        if not path.is_file():
            command = [sys.executable, "-m", "tests.proofs.families", str(source), str(path)]
            environment = {**os.environ, "KERAS_BACKEND": backend}
            subprocess.run([*command, str(configs)], env=environment, check=True)
        worst = json.loads(path.read_text())
        for family, (there, back) in worst.items():
            passed &= max(there, back) <= BOUND
            table.add_row(family, backend, str(configs), f"{there:.1e}", f"{back:.1e}")
    Console(width=100).print(table, f"bound: {BOUND:.0e}")
    return passed


def compare(source: Path, result: Path, configs: int) -> None:
    """Write the largest differences of each family, under the backend of this process."""
    import kzoo

    work = result.with_suffix("")
    work.mkdir(exist_ok=True)
    saved, there = {}, {}
    for name in names(configs):
        model = kzoo.load(source / name, strict=True)
        kzoo.save_huggingface(model, work / name)
        family = CONVERTED[model.config.family]
        kind = family.converter.architectures["backbone"]
        saved[name] = [str(work / name), str(source / name), kind]
        there[name] = max(difference(model, source / name, length) for length in LENGTHS)
    run_huggingface("recompute", work / "again", models=saved)
    back = {name: max(distance(source, work / "again", name, n) for n in LENGTHS) for name in saved}
    worst = {
        family: [
            max(value for name, value in each.items() if name.startswith(f"{family}_"))
            for each in (there, back)
        ]
        for family in CONVERTED
    }
    result.write_text(json.dumps(worst))


def difference(model: Any, folder: Path, length: int) -> float:
    """Return how far the hidden states of a model are from the original's, at real tokens."""
    from tests.kzoo.models.contract import predict

    with np.load(folder / f"inputs_{length}.npz") as inputs:
        arrays = {name: inputs[name].astype("int32") for name in inputs}
    with np.load(folder / f"outputs_{length}.npz") as expected:
        hidden = expected["hidden"]
    found = predict(model, {name: arrays[name] for name in model.input})["hidden"]
    return float(np.abs(found - hidden)[arrays["padding_mask"].astype(bool)].max())


def distance(source: Path, again: Path, name: str, length: int) -> float:
    """Return how far what `transformers` computes of a written folder is from the original."""
    with np.load(source / name / f"inputs_{length}.npz") as inputs:
        real = inputs["padding_mask"].astype(bool)
    hidden = []
    for root in (source, again):
        with np.load(root / name / f"outputs_{length}.npz") as outputs:
            hidden.append(outputs["hidden"][real])
    return float(np.abs(hidden[0] - hidden[1]).max())


if __name__ == "__main__":
    compare(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
