"""What the configurations of models have in common."""

import dataclasses
from functools import partial
from typing import Any, ClassVar, cast

from kzoo.arguments import (
    check_positive_integers,
    check_positive_numbers,
    check_rates,
    check_types,
)

_RATES = ("dropout", "attention_dropout")
_CHECKS: dict[type, Any] = {
    int: check_positive_integers,
    float: check_positive_numbers,
    bool: partial(check_types, bool),
    str: partial(check_types, str),
}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The sizes of a model: integers are at least 1, rates in [0, 1), other numbers above 0.

    Fields are of Python's types, whatever they were given as, so that they can be written as JSON.

    Attributes:
        family: The family's name, as in `model_type` of a Hugging Face folder.
    """

    family: ClassVar[str]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), cast("type", field.type)
            check = check_rates if field.name in _RATES else _CHECKS[kind]
            check(**{field.name: value})
            object.__setattr__(self, field.name, kind(value))

    @property
    def num_parameters(self) -> int:
        """Number of weights, counted without building the model."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values.

        Returns:
            Value by field name.
        """
        return dataclasses.asdict(self)
