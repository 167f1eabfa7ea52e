"""The classes that Keras finds by name before anything has imported them.

Keras imports no module that a file names, and looks classes up among those registered. After
`import kzoo` every class of this library is found there: a stand-in holds its place, and imports
the module where Keras first uses it. Keras itself is not imported for that.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from kzoo.models.families import FAMILIES

PACKAGE = "kzoo"

# Every class registered with Keras, by the module that it is found in.
CLASSES = {
    "kzoo.layers": (
        "AlibiBias",
        "BertEmbedding",
        "FeedForward",
        "FirstPooling",
        "GatedFeedForward",
        "LayerNorm",
        "LayerScale",
        "LearnedPositions",
        "MaskedLMHead",
        "MaxPooling",
        "MeanPooling",
        "MultiHeadAttention",
        "NextSentenceHead",
        "NoNorm",
        "PatchEmbedding",
        "Pooler",
        "PositionBias",
        "RMSNorm",
        "RelativeBias",
        "RelativeKeys",
        "ReplacedTokenHead",
        "RotaryPositions",
        "SentenceOrderHead",
        "SequenceClassificationHead",
        "SinusoidalPositions",
        "SinusoidalPositions2D",
        "SpanHead",
        "StochasticDepth",
        "TiedProjection",
        "TokenClassificationHead",
        "TokenEmbedding",
        "TransformerBlock",
    ),
    "kzoo.models": ("BackboneWithHead", *(family.backbone for family in FAMILIES.values())),
    "kzoo.tasks": (
        "Pretraining",
        "SentenceEncoder",
        "TextClassifier",
        "TokenCrossentropy",
        "UnitNorm",
    ),
    "kzoo.training": ("AdamW", "WarmupLinearDecay"),
}


class StandIn:
    """Holds the place of a class among the registered ones until its module registers it.

    Its attributes are those of the class, `from_config` among them, and calling it makes an object
    of the class: the first use imports the module.

    Args:
        module: Where the class is found.
        name: Its name there.
    """

    def __init__(self, module: str, name: str) -> None:
        self._location = module, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._imported(), attribute)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make an object of the class."""
        return self._imported()(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<class '{'.'.join(self._location)}', not imported yet>"

    def _imported(self) -> type:
        module, name = self._location
        cls: type = getattr(import_module(module), name)
        return cls


class KerasFinder:
    """Finds Keras as the finders after it do, and has the stand-ins registered with it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module `keras`, and no other.

        Args:
            name: Name of the module that is imported.
            path: Where the modules of a package are looked for; `None` for `keras`.
            target: The module that is loaded again, if so.

        Returns:
            Its specification, or `None` where the next finder is to be asked.
        """
        if name != "keras":
            return None
        others = sys.meta_path[sys.meta_path.index(self) + 1 :]
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            loader: Any = KerasLoader(spec.loader)
            spec.loader = loader
        return spec


class KerasLoader:
    """Loads Keras as its own loader does, and registers the stand-ins.

    Args:
        loader: The loader of the module `keras`.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._loader, attribute)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, and leave its own loader with it.

        Args:
            module: The new module.
        """
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register(module)


def register() -> None:
    """Have Keras find the classes of this library: now, or as soon as it is imported."""
    if "keras" in sys.modules:
        _register(sys.modules["keras"])
    else:
        sys.meta_path.insert(0, KerasFinder())


def _register(keras: Any) -> None:
    registered = keras.saving.get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            registered.setdefault(f"{PACKAGE}>{name}", StandIn(module, name))
