"""What backbones have in common: how they are made, and the tokenizer that travels with them."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Self

import keras

from kzoo.data.tokenizer import Tokenizer
from kzoo.models.config import ModelConfig
from kzoo.models.sentences import SentenceSettings

Graph = tuple[dict[str, Any], dict[str, Any]]


class ReadsText:
    """A mixin for functional Keras models: the tokenizer travels inside the `.keras` file."""

    _tokenizer: Tokenizer | None = None

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What turns texts into the model's inputs, or `None`; it makes these inputs, no other.

        The layers of the inputs know it too: a model made by hand of them is saved with it.
        """
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Tokenizer | None) -> None:
        if isinstance(tokenizer, Tokenizer):
            model: Any = self
            tokenizer = tokenizer.for_inputs(model.input)
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

    A subclass of a backbone adds its own arguments as in Keras: it overrides `get_config`.

    Args:
        config: The sizes of the model. By default those of the config's class.
        dtype: Dtype policy of the layers; by default the global one.
        name: Name of the model.

    Attributes:
        config_class: The class of the config.
        sentence: How the folder that the model was loaded from makes vectors of texts, or `None`.
    """

    config_class: ClassVar[type[ModelConfig]]
    config: Any
    sentence: SentenceSettings | None = None

    def __init__(
        self,
        config: Any = None,
        dtype: str | keras.DTypePolicy | None = None,
        name: str | None = None,
    ) -> None:
        config = self.config_class() if config is None else config
        if not isinstance(config, self.config_class):
            raise ValueError(
                f"`config` must be a {self.config_class.__name__}. Received: config={config!r}"
            )
        inputs, outputs = self.graph(config, dtype)
        model: Any = super()
        model.__init__(inputs=inputs, outputs=outputs, name=name)
        self.config = config
        self.dtype_policy = keras.dtype_policies.get(dtype)
        self.name: str

    @staticmethod
    def graph(config: Any, dtype: str | keras.DTypePolicy | None) -> Graph:
        """Make the layers, and connect them.

        Args:
            config: The sizes of the model.
            dtype: Dtype policy of the layers.

        Returns:
            Symbolic inputs and outputs by name.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs.

        Returns:
            The config, the dtype policy, the name and, without weights, how vectors of texts are
            made.
        """
        config = {
            "config": self.config.to_dict(),
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "name": self.name,
        }
        return config if self.sentence is None else {**config, "sentence": self.sentence.to_dict()}

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
        arguments = {**config, "config": cls.config_class(**config["config"])}
        sentence = arguments.pop("sentence", None)
        model = cls(**arguments)
        model.sentence = sentence and SentenceSettings(**sentence)
        return model


class OnBackbone(ReadsText):
    """A mixin for functional Keras models that are made of the layers of a backbone."""

    def adopt(self, backbone: Any, config: Any) -> None:
        """Take from a backbone what the model has in common with it, after the graph is made.

        Args:
            backbone: The backbone.
            config: Its sizes, without what the model does not use.
        """
        self.config = config
        self.dtype_policy = backbone.dtype_policy
        self.tokenizer = backbone.tokenizer
        # Called when the model is saved: serializing is slow, and few models are saved.
        self.serialize_backbone = partial(keras.saving.serialize_keras_object, backbone)

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Build the model that `get_config` described.

        Args:
            config: The result of `get_config`: arguments, and parts as Keras writes any object.
            custom_objects: Classes by registered name, besides the registered ones.

        Returns:
            The model, with new weights.
        """
        arguments = {
            name: keras.saving.deserialize_keras_object(value, custom_objects)
            if isinstance(value, Mapping)
            else value
            for name, value in config.items()
        }
        return cls(**arguments)


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
