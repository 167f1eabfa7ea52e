"""Lower a model to TFLite through TensorFlow."""

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from kzoo_export.lowering.keras_forms import exportable_forms
from kzoo_export.source.names import layer_names, positional
from kzoo_export.spec import Signature, Spec
from kzoo_export.tflite.convert import convert, traced_names


def lower(model: keras.Model, spec: Spec, target: Path) -> None:
    """Trace the model once for each signature, and convert the traces.

    Args:
        model: The model, loaded under the TensorFlow backend.
        spec: What to make.
        target: The float32 `.tflite` file to write.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    for signature in spec.signatures:
        function, tensors = _endpoint(model, signature)
        archive.add_endpoint(signature.name, function, input_signature=tensors)
    names = layer_names(model)
    with tempfile.TemporaryDirectory(dir=target.parent, ignore_cleanup_errors=True) as folder:
        archive.write_out(folder, verbose=False)
        # The converter needs several times the memory of the weights.
        del model, archive, function
        gc.collect()
        convert(Path(folder), target, spec, names)


def _endpoint(
    model: keras.Model, signature: Signature
) -> tuple[Callable[..., dict[str, Any]], list[Any]]:
    """Make the function of one signature, and describe its tensors."""
    import tensorflow as tf

    call = positional(model, signature)
    names = traced_names(signature)

    def serve(*tensors: Any) -> dict[str, Any]:
        with exportable_forms(model, signature):
            outputs = call(*tensors)
        # An identity of its own name for each output: two outputs may be one tensor, and an
        # output may be an input.
        named = zip(names.outputs, outputs, strict=True)
        return {name: tf.identity(tensor) for name, tensor in named}

    tensors = [
        tf.TensorSpec(entry.sizes, entry.dtype, name)
        for name, entry in zip(names.inputs, signature.inputs, strict=True)
    ]
    return serve, tensors
