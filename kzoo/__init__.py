"""kzoo: a Keras 3 model zoo that goes from raw text to a phone.

```python
import kzoo

model = kzoo.load("minilm_l6_v2")
tokenizer = kzoo.load_tokenizer("minilm_l6_v2")
hidden = model(tokenizer(["a text", "another"], length=128))["hidden"]
```

Attributes are imported on first use, so that `import kzoo` needs no backend. From then on Keras
finds the classes of this library by name, so `keras.saving.load_model` reads any file with them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kzoo.registration import register

if TYPE_CHECKING:
    from kzoo import data, layers, models, tasks, training, weights
    from kzoo.models import (
        from_keras_hub,
        list_models,
        load,
        load_tokenizer,
        save,
        save_huggingface,
        to_keras_hub,
    )

__version__ = "0.1.0"

_FUNCTIONS = (
    "from_keras_hub",
    "list_models",
    "load",
    "load_tokenizer",
    "save",
    "save_huggingface",
    "to_keras_hub",
)
_MODULES = ("data", "layers", "models", "tasks", "training", "weights")

__all__ = [
    "data",
    "from_keras_hub",
    "layers",
    "list_models",
    "load",
    "load_tokenizer",
    "models",
    "save",
    "save_huggingface",
    "tasks",
    "to_keras_hub",
    "training",
    "weights",
]

register()


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module("kzoo.models"), name)
    if name in _MODULES:
        return import_module(f"kzoo.{name}")
    raise AttributeError(f"module 'kzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
