"""The columns of a table of labeled texts, guessed by their names."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

# Names that columns have in well-known data sets, the first that is there is taken.
_TEXT = ("text", "sentence", "content", "review", "tweet", "message", "body", "document", "comment")
_LABEL = (
    "label",
    "labels",
    "class",
    "category",
    "target",
    "sentiment",
    "topic",
    "intent",
    "score",
    "rating",
    "stars",
    "similarity",
)
_PAIRS = {
    "sentence1": "sentence2",
    "text1": "text2",
    "text_a": "text_b",
    "question1": "question2",
    "premise": "hypothesis",
    "query": "passage",
}


def choose_columns(
    names: Sequence[str],
    wanted: Mapping[str, str | None],
    path: Path,
    needed: Sequence[str] = ("text", "label"),
) -> dict[str, str]:
    """Decide which columns of a table have the texts and the labels.

    Args:
        names: The names of the columns.
        wanted: The names of the columns `text`, `pair` and `label` where the user gave them.
        path: The table, for messages.
        needed: What there must be a column for; the rest may be missing.

    Returns:
        The columns of `text`, `label`, `pair` and `split`, of those that there are.

    Raises:
        ValueError: If a column is missing, or none has a name that tells.
    """
    for argument, column in wanted.items():
        if column is not None and column not in names:
            raise ValueError(
                f"`{argument}` must be a column of {path}: {', '.join(map(repr, names))}. "
                f"Received: {argument}={column!r}"
            )
    taken = set(wanted.values())
    known = {name.lower(): name for name in reversed(names) if name not in taken}
    chosen = {
        "text": wanted["text"] or _first(known, (*_PAIRS, *_TEXT)),
        "label": wanted["label"] or _first(known, _LABEL),
    }
    rest = [name for name in names if name not in {*chosen.values(), *taken, known.get("split")}]
    missing = [name for name in needed if chosen[name] is None]
    # The only column that is left.
    if len(missing) == 1 and len(rest) == 1:
        chosen[missing.pop()] = rest[0]
    if missing:
        raise ValueError(
            f"`{missing[0]}` must name a column of {path}: {', '.join(map(repr, names))}, of "
            "which none has a name that tells. Received: none"
        )
    second = wanted["pair"]
    if second is None and wanted["text"] is None:
        second = known.get(_PAIRS.get(str(chosen["text"]).lower(), ""))
    if len({*chosen.values(), second}) < 3 and all(chosen.values()):
        raise ValueError(f"The columns must be different. Received: {chosen}, pair={second!r}")
    columns = {**chosen, "pair": second, "split": known.get("split")}
    return {name: column for name, column in columns.items() if column}


def _first(known: Mapping[str, str], names: Iterable[str]) -> str | None:
    return next((known[name] for name in names if name in known), None)
