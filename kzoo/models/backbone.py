"""What backbones have in common: their configs, and the tokenizer that travels with them."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import keras

from kzoo.data.tokenizer import Tokenizer
from kzoo.models.config import ModelConfig


class ReadsText:
    """A mixin for functional Keras models: the tokenizer travels inside the `.keras` file."""

    _tokenizer: Tokenizer | None = None

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What turns texts into the model's inputs, or `None`.

        The layers of the inputs know it too: a model made by hand of them is saved with it.
        """
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        mark_inputs(self, tokenizer)

    def save_assets(self, folder: str) -> None:
        """Write the tokenizer; Keras calls this on saving.

        Args:
            folder: A folder inside the file.
        """
        if self.tokenizer is not None:
            self.tokenizer.save(folder)

    def load_assets(self, folder: str | None) -> None:
        """Read the tokenizer; Keras calls this on loading.

        Args:
            folder: A folder inside the file, or `None` where the file has none.
        """
        if folder is not None and Tokenizer.is_in(folder):
            self.tokenizer = Tokenizer.from_folder(folder)


class Backbone(ReadsText):
    """A mixin for functional Keras models that follow from a config, a dtype policy and a name.

    A subclass adds its own arguments as in Keras: it overrides `get_config`.

    Attributes:
        config_class: The class of the config.
        config: The sizes of the model.
        dtype_policy: The dtype policy of its layers.
        name: The name of the model.
    """

    config_class: ClassVar[type[ModelConfig]]
    config: Any
    dtype_policy: Any
    name: str

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs.

        Returns:
            The config, the dtype policy and the name.
        """
        return {
            "config": self.config.to_dict(),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Build the model that `get_config` described.

        Args:
            config: The result of `get_config`.
            custom_objects: Unused: the layers are known.

        Returns:
            The model, with new weights.
        """
        return cls(**{**config, "config": cls.config_class(**config["config"])})


def mark_inputs(model: Any, tokenizer: Tokenizer | None) -> None:
    """Have the layers of a model's inputs know what makes them.

    Args:
        model: A functional model.
        tokenizer: Its tokenizer.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            layer.tokenizer = tokenizer


def find_tokenizers(model: keras.Model) -> list[Any]:
    """Find what turns texts into the inputs of a model.

    Args:
        model: Any model.

    Returns:
        Its attribute `tokenizer` or, where it has none, the tokenizers of the backbones that it is
        made of, each once: of those whose inputs it has, else of those that are its layers.
    """
    own = getattr(model, "tokenizer", None)
    if own is not None:
        return [own]
    inputs = (layer for layer in model.layers if isinstance(layer, keras.layers.InputLayer))
    parts = (layer for layer in model.layers if isinstance(layer, keras.Model))
    found = [getattr(layer, "tokenizer", None) for layer in inputs]
    if not any(found):
        found = [tokenizer for part in parts for tokenizer in find_tokenizers(part)]
    return list({id(tokenizer): tokenizer for tokenizer in found if tokenizer}.values())


def find_tokenizer(model: keras.Model) -> Any:
    """Find the tokenizer of a model that has one.

    Args:
        model: Any model.

    Returns:
        The tokenizer, or `None` where `find_tokenizers` finds none or several.
    """
    found = find_tokenizers(model)
    return found[0] if len(found) == 1 else None
