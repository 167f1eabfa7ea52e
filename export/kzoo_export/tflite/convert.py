"""From a SavedModel to a `.tflite` file."""

import re
from collections.abc import Set
from pathlib import Path
from typing import Any, NamedTuple

from kzoo_export.errors import ExportError
from kzoo_export.spec import Signature, Spec
from kzoo_export.tflite import flatbuffer


class TracedNames(NamedTuple):
    """What inputs and outputs are called in a trace, which takes fewer names than a file."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def traced_names(signature: Signature) -> TracedNames:
    """Name the tensors of a trace by their position.

    Args:
        signature: The signature that is traced.

    Returns:
        A name for each input and each output.
    """
    return TracedNames(
        tuple(f"input_{index}" for index in range(len(signature.inputs))),
        tuple(f"output_{index}" for index in range(len(signature.outputs))),
    )


def convert(saved_model: Path, target: Path, spec: Spec, layers: Set[str]) -> None:
    """Convert to built-in operations only, and write the float32 file.

    Args:
        saved_model: Folder of a SavedModel whose tensors have their `traced_names`.
        target: File to write.
        spec: What to make.
        layers: The names of the layers.

    Raises:
        ExportError: If the model has operations that TFLite does not have.
    """
    import tensorflow as tf

    keys = [signature.name for signature in spec.signatures]
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=keys)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        content = converter.convert()
    except Exception as error:
        is_open = not all(signature.static for signature in spec.signatures)
        if is_open and "TensorListReserve" in str(error):
            raise ExportError(
                "TFLite has no lists of elements of open shape, in which recurrent layers collect "
                "their steps: give a `batch_size`, or export to .onnx by the route 'tf2onnx'"
            ) from error
        listed = re.findall(r"(?:TF Select|Custom) ops: (.+)", str(error))
        if not listed:
            raise
        operations = sorted({name.strip() for names in listed for name in names.split(",")})
        raise ExportError(
            f"TFLite has no built-in operation for: {', '.join(operations)}. "
            "Rewrite the layer that uses it, or export to .onnx"
        ) from error
    model = flatbuffer.read(content)
    set_signatures(model, spec)
    name_layers(model, layers)
    target.write_bytes(flatbuffer.write(model))


def name_layers(model: Any, layers: Set[str]) -> None:
    """Take the numbers that TensorFlow gives to scopes out of the names of tensors, in place.

    Keras enters the scope of a layer more than once, so that `query` becomes `query_1`.

    Args:
        model: A `ModelT`.
        layers: The names of the layers.
    """

    def plain(found: re.Match[str]) -> str:
        name, _, number = found[0].rpartition("_")
        return name if number.isdigit() and name in layers else found[0]

    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.name = re.sub(r"[^/;]+", plain, tensor.name.decode()).encode()


def set_signatures(model: Any, spec: Spec) -> None:
    """Give inputs and outputs the names and the order of a spec, in place.

    The converter sorts them as it likes. Clients that feed by position rely on the documented
    order, those that feed by name on the model's names.

    Args:
        model: A `ModelT` with the signatures of the spec, its tensors called by their
            `traced_names`.
        spec: What the file must be.
    """
    for signature in spec.signatures:
        found = next(
            each for each in model.signatureDefs if each.signatureKey.decode() == signature.name
        )
        graph, names = model.subgraphs[found.subgraphIndex], traced_names(signature)
        graph.inputs = _arrange(found.inputs, names.inputs, signature.inputs)
        graph.outputs = _arrange(found.outputs, names.outputs, signature.outputs)


def add_signature(model: Any, name: str = "serve") -> None:
    """Give the first graph of a file a signature, of the names of its tensors, in place.

    Args:
        model: A `ModelT` without signatures.
        name: Name of the signature.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]

    def entries(tensors: Any) -> list[Any]:
        return [schema.TensorMapT(graph.tensors[each].name, int(each)) for each in tensors]

    inputs, outputs = entries(graph.inputs), entries(graph.outputs)
    model.signatureDefs = [schema.SignatureDefT(inputs, outputs, name.encode(), 0)]


def _arrange(entries: list[Any], traced: tuple[str, ...], tensors: Any) -> list[int]:
    """Rename the entries of one side in place, and list their tensors in the wanted order."""
    by_name = {entry.name.decode(): entry for entry in entries}
    for name, tensor in zip(traced, tensors, strict=True):
        by_name[name].name = tensor.name.encode()
    return [by_name[name].tensorIndex for name in traced]
