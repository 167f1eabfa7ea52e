"""What a trained classifier is, for people who meet its folder."""

import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kzoo.json_file import whole_file
from kzoo.problems import named_scores

# What may be said of a run besides what training knows itself.
_FACTS = {
    "model": "fine-tuned from",
    "license": "license of its weights",
    "data": "data",
    "columns": "columns",
    "removed": "removed rows",
    "precision": "precision",
}
# The picture of the predictions, by the problem, and what it shows.
PICTURES = {
    "single_label": ("Confusion matrix", "confusion.png"),
    "multi_label": ("F1 of each label", "f1.png"),
    "regression": ("Predictions", "predictions.png"),
}


def write_card(path: pathlib.Path, result: Mapping[str, Any]) -> None:
    """Write the model card of a run.

    Args:
        path: The Markdown file.
        result: The content of `run.json`.
    """
    with whole_file(path) as unfinished:
        unfinished.write_text("\n".join(_card(result)) + "\n", "utf-8")


def _card(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines."""
    labels, scores = result["labels"], result["scores"]
    yield "---"
    if "license" in result:
        yield f"license: {result['license']}"
    if "model" in result:
        yield f"base_model: {result['model']}"
    yield from ("pipeline_tag: text-classification", "library_name: keras", "---", "")
    told = "Texts to a number" if result["problem"] == "regression" else "Classifier of texts"
    yield f"# {told}: {', '.join(labels)}"
    alt, picture = PICTURES[result["problem"]]
    yield from ("", f"![{alt}]({picture}) ![Learning curves](curves.png)", "")

    yield from ("## Scores", "")
    yield f"On {result['rows']['test']:,} texts that it was not trained on, `held_out.jsonl`:"
    yield ""
    overall = [[name, f"{value:.4f}"] for name, value in named_scores(scores).items()]
    yield from _table(["", "value"], overall)
    if "f1" in scores:
        yield ""
        yield from _by_label(labels, scores)

    yield from ("", "## Training", "")
    yield from _table(["", "value"], _training(result))
    if "command" in result:
        yield from ("", "```sh", result["command"], "```")

    yield from ("", "## Use", "", "```python", "import kzoo", "")
    yield 'classifier = kzoo.load("model.keras")'
    yield 'classifier.predict(["a text"])'
    yield "```"


def _by_label(labels: Sequence[str], scores: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the table of F1, with the number of texts where each has one label."""
    rows = [[label, f"{scores['f1'][label]:.4f}"] for label in labels]
    counts = [f"{sum(row):,}" for row in scores.get("confusion", ())]
    if counts:
        rows = [[*row, count] for row, count in zip(rows, counts, strict=True)]
    yield from _table(["label", "F1", "texts"][: len(rows[0])], rows)


def _training(result: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield what is known of the training, by name."""
    for name, words in _FACTS.items():
        if name in result:
            value = result[name]
            if isinstance(value, Mapping):
                value = ", ".join(f"{key} {each}" for key, each in value.items())
            yield [words, str(value)]
    yield ["rows", ", ".join(f"{part} {count:,}" for part, count in result["rows"].items())]
    yield ["SHA-256 of the data", f"`{result['data_hash']}`"]
    yield ["parameters", f"{result['parameters']:,}"]
    if result["trained_parameters"] < result["parameters"]:
        yield ["trained parameters", f"{result['trained_parameters']:,} (LoRA)"]
    yield ["tokens of a text", f"at most {result['length']}"]
    yield ["epochs", f"{result['epochs']}, weights of epoch {result['best_epoch']}"]
    for name in ("batch_size", "learning_rate", "layer_decay", "class_weight", "seed"):
        if result[name] is not None:
            yield [name.replace("_", " "), str(result[name])]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
