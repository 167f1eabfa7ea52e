"""Lower a model to a TensorFlow SavedModel with one static signature."""

from pathlib import Path
from typing import Any

import keras

from kzoo_export.signature import positional
from kzoo_export.spec import Spec


def lower(model: keras.Model, spec: Spec, folder: Path) -> Path:
    """Trace the model once with static shapes and save it.

    Args:
        model: The model, loaded under the TensorFlow backend.
        spec: The signature to trace.
        folder: Where the SavedModel goes.

    Returns:
        The folder of the SavedModel.
    """
    import tensorflow as tf

    call = positional(model, spec)

    def serve(*tensors: Any) -> dict[str, Any]:
        outputs = call(*tensors)
        # An identity of its own name for each output: two outputs may be one tensor, and an
        # output may be an input.
        return {
            entry.name: tf.identity(tensor)
            for entry, tensor in zip(spec.outputs, outputs, strict=True)
        }

    signature = [tf.TensorSpec(entry.shape, entry.dtype, entry.name) for entry in spec.inputs]
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=signature)
    target = folder / "saved_model"
    archive.write_out(str(target), verbose=False)
    return target
