"""What a file of a classifier of texts needs beside it: a tokenizer and the labels."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from kzoo.data.batching import EAGER, batches_of_similar_length, real_widths
from kzoo.data.texts import read_texts
from kzoo.data.tokenizer import Tokenizer
from kzoo.json_file import read_json_object, write_json
from kzoo.problems import PROBLEMS
from kzoo_export.artifact.files import assets_of, existing, run_batches
from kzoo_export.artifact.isolated import isolated
from kzoo_export.labels import find_classes
from kzoo_export.spec import OPEN, Signature

_CONFIG = "labels.json"


@dataclasses.dataclass(frozen=True)
class FileClassifier:
    """A classifier of texts that was exported: what `export` wrote, in its own runtime.

    Attributes:
        path: The `.tflite` or `.onnx` file.
        tokenizer: Makes its inputs.
        labels: The names of the labels, C of them.
        problem: What it tells, as `TextClassifier` has it.
        output: The output that has the logits, (B, C).
        length: Most tokens of a text.
    """

    path: Path
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    problem: str
    output: str
    length: int

    def predict(self, texts: Any, batch_size: int = 32) -> Any:
        """Tell the labels of texts.

        Args:
            texts: Texts or pairs of texts.
            batch_size: Texts in a batch, of a file that leaves their number open.

        Returns:
            `Predictions`, or numbers (N,) of a regression.

        Raises:
            ValueError: If a text is not as it must be, or the file cannot be loaded.
        """
        arrays = read_texts("texts", texts).tokenize(self.tokenizer, self.length)
        lengths = real_widths(arrays["padding_mask"])
        logits = np.zeros((len(lengths), len(self.labels)), "float32")
        with isolated(self.path) as runner:
            rows, width = runner.inputs[0].shape
            size = batch_size if rows == OPEN else rows
            longest = arrays["padding_mask"].shape[1]
            for some, columns in batches_of_similar_length(lengths, size, longest, EAGER):
                kept = columns if width == OPEN else width
                batch = {entry.name: arrays[entry.name][some, :kept] for entry in runner.inputs}
                logits[some] = run_batches(runner, batch, size)[self.output]
        return PROBLEMS[self.problem].predict(logits, self.labels)


def load_classifier(path: str | Path) -> FileClassifier:
    """Load the file of a classifier of texts.

    Args:
        path: A `.tflite` or `.onnx` file that `export` wrote, with its folder `<path>.assets`.

    Returns:
        The classifier.

    Raises:
        ValueError: If there is no such file or folder, or the folder is that of another file.

    Example:
        >>> classifier = load_classifier("clf.tflite")  # doctest: +SKIP
        >>> classifier.predict(["Well done."]).labels  # doctest: +SKIP
        ['good']
    """
    path = existing(path)
    folder = assets_of(path)
    if not has_assets(path):
        raise ValueError(
            f"`path` must be the file of a classifier of texts, with the folder {folder.name} "
            f"beside it, as `export` writes it. Received: path={str(path)!r} without that folder"
        )
    config = read_json_object(folder / _CONFIG)
    if config.get("sha256") != _hash(path):
        raise ValueError(
            f"`path` must be the file that {folder.name} was written for. Received: path="
            f"{str(path)!r}, which has changed: export it again"
        )
    return FileClassifier(
        path=path,
        tokenizer=Tokenizer.from_folder(folder).for_inputs(config["inputs"]),
        labels=tuple(config["labels"]),
        problem=config["problem"],
        output=config["output"],
        length=config["length"],
    )


def has_assets(path: str | Path) -> bool:
    """Tell whether a file has the folder of a classifier beside it.

    Args:
        path: The file.

    Returns:
        Whether `load_classifier` has something to read.
    """
    return (assets_of(path) / _CONFIG).is_file()


def classifier_of(
    model: Any, signature: Signature, tokenizer: Any, path: Path
) -> FileClassifier | None:
    """Tell whether a file is a classifier of texts, and which.

    Args:
        model: What the file is made of.
        signature: Its inputs and outputs.
        tokenizer: What makes its inputs of texts, or None.
        path: The file.

    Returns:
        The classifier; None where the model has no tokenizer or no labels.
    """
    classes = find_classes(signature, getattr(model, "labels", None))
    names = [entry.name for entry in signature.inputs]
    if tokenizer is None or classes is None or not classes.names or "padding_mask" not in names:
        return None
    length = signature.inputs[0].shape[1]
    if length == OPEN:
        length = getattr(model, "length", None) or tokenizer.max_length
    return FileClassifier(
        path,
        tokenizer.for_inputs(names),
        classes.names,
        classes.problem.name,
        classes.output,
        length,
    )


def write_assets(classifier: FileClassifier | None, file: Path) -> dict[Path, Path]:
    """Write the folder that goes beside a file.

    Args:
        classifier: What the file is, or None where it is no classifier of texts.
        file: The file, in the working folder.

    Returns:
        The folder by the file, if there is one.
    """
    if classifier is None:
        return {}
    folder = assets_of(file)
    folder.mkdir()
    classifier.tokenizer.save(folder)
    config = {
        "labels": classifier.labels,
        "problem": classifier.problem,
        "inputs": classifier.tokenizer.inputs,
        "output": classifier.output,
        "length": classifier.length,
        "sha256": _hash(file),
    }
    write_json(folder / _CONFIG, config)
    return {file: folder}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
