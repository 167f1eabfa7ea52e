"""Ship a Keras model as a TFLite or ONNX file that was measured after it was made.

```python
from kzoo_export import export

report = export(model, "model.tflite", recipe="dynamic_int8", length=128)
print(report)
```
"""

import importlib
from typing import TYPE_CHECKING, Any

from kzoo_export.artifact.files import inspect
from kzoo_export.artifact.plan import Plan
from kzoo_export.artifact.report import Benchmark, Inspection, Report
from kzoo_export.artifact.verification import Verification
from kzoo_export.assets import FileClassifier, load_classifier
from kzoo_export.errors import ExportError, RecipeError, TargetError, VerificationError
from kzoo_export.hardware import Compatibility, compatibility

# Bound here because submodules of the same names would hide lazy attributes.
from kzoo_export.quantize import quantize
from kzoo_export.recipe import Override, Recipe, Tolerance
from kzoo_export.recipes import RECIPES
from kzoo_export.verify import verify

if TYPE_CHECKING:
    from kzoo_export.bench import benchmark
    from kzoo_export.folder import complete_folder
    from kzoo_export.pipeline import export, export_all, plan

# These import Keras, which starts a backend, so they wait until they are asked for.
_LAZY = {
    "benchmark": "bench",
    "complete_folder": "folder",
    "export": "pipeline",
    "export_all": "pipeline",
    "plan": "pipeline",
}

__all__ = [
    "RECIPES",
    "Benchmark",
    "Compatibility",
    "ExportError",
    "FileClassifier",
    "Inspection",
    "Override",
    "Plan",
    "Recipe",
    "RecipeError",
    "Report",
    "TargetError",
    "Tolerance",
    "Verification",
    "VerificationError",
    "benchmark",
    "compatibility",
    "complete_folder",
    "export",
    "export_all",
    "inspect",
    "load_classifier",
    "plan",
    "quantize",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
