"""`kzoo info`: what is known of a model."""

from typing import Any

from rich.text import Text

from kzoo.cli.options import Json, Model
from kzoo.cli.output import make_table, print_json, print_table

ARTIFACTS = (".tflite", ".onnx")


def show_info(source: Model, as_json: Json = False) -> None:
    """Describe a model.

    Example: `kzoo info minilm_l6_v2`
    """
    if source.endswith(ARTIFACTS):
        raise ValueError(
            f"`MODEL` must be a model; what is in an exported file, `kzoo inspect {source}` says. "
            f"Received: {source}"
        )
    facts = _model_facts(source)
    if as_json:
        print_json(facts)
        return
    table = make_table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        table.add_row(key, Text(_readable(value)))
    print_table(source, table)


def _readable(value: Any) -> str:
    """Write a value for people: a line for each entry, none of Python's punctuation."""
    if isinstance(value, dict):
        width = max(map(len, value), default=0)
        value = [f"{name:<{width}}  {each}" for name, each in value.items()]
    rows = value if isinstance(value, list | tuple) else [value]
    return "\n".join(" ".join(map(str, e.values())) if type(e) is dict else str(e) for e in rows)


def _model_facts(source: str) -> dict[str, Any]:
    """What is known of a model; a preset is described without loading it."""
    from kzoo.models import PRESETS
    from kzoo.models.preset import is_preset

    if is_preset(source, PRESETS):
        return PRESETS[source].to_dict()
    import kzoo

    model = kzoo.load(source)
    config = getattr(model, "config", None)
    named = isinstance(model.output, dict)
    return {
        "class": type(model).__name__,
        "num_parameters": model.count_params(),
        "inputs": {tensor.name: list(tensor.shape) for tensor in model.inputs},
        "outputs": list(model.output) if named else list(model.output_names),
        "config": config.to_dict() if config else None,
    }
