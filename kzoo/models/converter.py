"""Between the folders of Hugging Face and the models of a family: configurations and weights."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kzoo.models.config import ModelConfig
from kzoo.weights import Entry, Table, expand

# The first spelling of an activation is the one that is written.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}

# The heads that a class of Hugging Face has together, by the name of that part.
COMBINED = {"pretraining": ("masked_lm", "next_sentence")}


def heads_of(head: str | None) -> tuple[str, ...]:
    """List the heads of a model.

    Args:
        head: The part that its head is, one or several together, or `None` for a backbone alone.

    Returns:
        The parts that have tables.
    """
    return COMBINED.get(head, (head,)) if head is not None else ()


def dense(theirs: str, ours: str) -> dict[str, Entry]:
    """Map a dense layer.

    Args:
        theirs: Its name in the file.
        ours: Its path in the model.

    Returns:
        The entries of its kernel and its bias.
    """
    return {f"{theirs}.weight": f"{ours}/kernel", f"{theirs}.bias": f"{ours}/bias"}


def norm(theirs: str, ours: str) -> dict[str, Entry]:
    """Map a layer normalization.

    Args:
        theirs: Its name in the file.
        ours: Its path in the model.

    Returns:
        The entries of its scale and its offset.
    """
    return {f"{theirs}.weight": f"{ours}/gamma", f"{theirs}.bias": f"{ours}/beta"}


@dataclasses.dataclass(frozen=True)
class Converter:
    """How a family is called by Hugging Face.

    Attributes:
        config_class: The class of its configs.
        architectures: Hugging Face's class by part: `"backbone"`, and the parts of a head.
        prefix: What names begin with where a model has a head.
        fields: The name of a setting in `config.json`, by field of the config.
        tables: What becomes of the weights of each part; `{}` stands for the number of a layer.
        optional: The part that only some folders have, by the field that tells.
        defaults: What Hugging Face takes for a setting that is left out, where the config's own
            default is another.
        fixed: Settings that the model computes only one way. Any other value is refused: it would
            silently change the outputs.
        head_settings: What the heads of the family do otherwise than those of BERT, by part:
            `activation` of a masked-LM head, `pooler`, the activation of a classifier's own pooler,
            and `dropout`, the name of the setting of the dropout rate.
        spellings: Other spellings inside the names of weights, and what they stand for.
        read_settings: Turns the settings of `config.json` into ones that `fields` name.
        write_settings: The inverse of `read_settings`, with what else belongs into the file.
    """

    config_class: type[ModelConfig]
    architectures: Mapping[str, str]
    prefix: str
    fields: Mapping[str, str]
    tables: Mapping[str, Table]
    optional: Mapping[str, str] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    head_settings: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    spellings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    read_settings: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    write_settings: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict

    def plain_name(self, name: str) -> str:
        """Reduce the spellings of one weight to one name.

        Args:
            name: A weight's name in a file.

        Returns:
            The name that the tables list.
        """
        name = name.removeprefix(self.prefix)
        for spelling, plain in self.spellings.items():
            name = name.replace(spelling, plain)
        return name

    def table(self, config: Any, head: str | None = None) -> dict[str, Entry]:
        """Put the tables of the parts of a model together.

        Args:
            config: The config of the backbone.
            head: The part of its head, or `None` for a backbone alone.

        Returns:
            What becomes of each tensor, by plain name; the parts that the model does not have are
            dropped.
        """
        optional = (part for field, part in self.optional.items() if getattr(config, field))
        wanted = {"backbone", *heads_of(head), *optional}
        parts = sorted(self.tables, key=lambda part: part in wanted)
        table: dict[str, Entry] = {}
        for part in parts:
            entries = self.tables[part]
            table |= entries if part in wanted else dict.fromkeys(entries)
        return expand(table, config.num_layers)

    def written_table(self, config: Any, head: str | None = None) -> dict[str, Entry]:
        """Put the tables of the parts of a model together, under the names that files have.

        Args:
            config: The config of the backbone.
            head: The part of its head, or `None` for a backbone alone.

        Returns:
            What becomes of each tensor, by its name in a file that Hugging Face writes.
        """
        table = self.table(config, head)
        if head is None:
            return table
        own = {name for part in heads_of(head) for name in self.tables[part]}
        return {name if name in own else self.prefix + name: each for name, each in table.items()}

    def check_head(self, head: str | None) -> None:
        """Require a head that Hugging Face has a class for.

        Args:
            head: The part of the head, or `None` for a backbone alone.

        Raises:
            ValueError: If there is no class for it.
        """
        if head is not None and head not in self.architectures:
            heads = ", ".join(part for part in self.architectures if part != "backbone")
            raise ValueError(
                f"The head on {self._article} must be one that Hugging Face has: {heads}. "
                f"Received: head={head!r}"
            )

    def read_config(self, source: Mapping[str, Any], names: Collection[str]) -> Any:
        """Read a Hugging Face configuration.

        Args:
            source: The content of `config.json`.
            names: The plain names of the weights beside it; they tell which optional parts there
                are. Without names, there are all.

        Returns:
            The config.

        Raises:
            ValueError: If the configuration asks for something that the model does not compute.
        """
        for field, expected in self.fixed.items():
            if source.get(field) not in (None, expected):
                raise ValueError(
                    f"`{field}` of {self._article} configuration must be {expected!r}; nothing "
                    f"else is implemented. Received: {field}={source[field]!r}"
                )
        settings = self.read_settings({**self.defaults, **source})
        values = {ours: settings[key] for ours, key in self.fields.items() if key in settings}
        if "activation" in values:
            values["activation"] = self._activation(values["activation"])
        for field, part in self.optional.items():
            values[field] = not names or set(self.tables[part]) <= set(names)
        return self.config_class(**values)

    def write_config(
        self, config: Any, head: str = "backbone", labels: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Write a Hugging Face configuration.

        Args:
            config: The config.
            head: The part of its head, if it has one.
            labels: The names of the classes of a classifier.

        Returns:
            The content of `config.json`.

        Raises:
            ValueError: If a field has a value that Hugging Face has no setting for.
        """
        for field in dataclasses.fields(config):
            value, written = getattr(config, field.name), {*self.fields, *self.optional}
            if field.name not in written and value != field.default:
                raise ValueError(
                    f"`{field.name}` of {self._article} must be {field.default!r} for Hugging "
                    f"Face, which has no such setting. Received: {field.name}={value!r}"
                )
        settings = {key: getattr(config, ours) for ours, key in self.fields.items()}
        name = self.fields["activation"]
        settings[name] = next(k for k, value in ACTIVATIONS.items() if value == settings[name])
        named = {
            "id2label": {str(index): label for index, label in enumerate(labels)},
            "label2id": {label: index for index, label in enumerate(labels)},
        }
        return {
            "architectures": [self.architectures[head]],
            "model_type": config.family,
            **self.write_settings(settings),
            **(named if labels else {}),
        }

    def _activation(self, value: Any) -> str:
        if value not in ACTIVATIONS:
            name = self.fields["activation"]
            raise ValueError(
                f"`{name}` of {self._article} configuration must be one of "
                f"{', '.join(ACTIVATIONS)}. Received: {name}={value!r}"
            )
        return ACTIVATIONS[value]

    @property
    def _article(self) -> str:
        return f"a {self.architectures['backbone']}"
