"""Read and write the flatbuffer of a TFLite file as objects that can be changed."""

from typing import Any

import numpy as np

from kzoo_export.errors import ExportError

IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
# Offsets in a flatbuffer have 31 bits.
_LARGEST_FILE = 2**31 - 2**20


def read(content: bytes) -> Any:
    """Unpack a file, weights that are stored behind the flatbuffer included.

    Args:
        content: The file.

    Returns:
        A `ModelT` of the TFLite schema.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:
            stored = content[buffer.offset : buffer.offset + buffer.size]
            buffer.data = np.frombuffer(stored, np.uint8)
        buffer.offset = buffer.size = 0
    return model


def write(model: Any) -> bytes:
    """Pack a model into one flatbuffer.

    Args:
        model: A `ModelT` of the TFLite schema.

    Returns:
        The file.

    Raises:
        ExportError: If the weights are too large for one file.
    """
    import flatbuffers

    # Zero points of channels are 8 bytes each, all 0, and alike in all matrices of one width.
    stored: dict[tuple[str, bytes], Any] = {}

    class Builder(flatbuffers.Builder):
        """Aligns weights as the schema asks (`force_align`), and stores equal numbers once."""

        def CreateNumpyVector(self, x: np.ndarray) -> Any:  # noqa: N802 (the name it overrides)
            if x.dtype == np.uint8:
                self.Prep(_ALIGNMENT, x.size)
                return super().CreateNumpyVector(x)
            key = x.dtype.str, x.tobytes()
            if key not in stored:
                stored[key] = super().CreateNumpyVector(x)
            return stored[key]

    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    if size > _LARGEST_FILE:
        raise ExportError(
            f"A .tflite file holds at most 2 GiB, and this graph has {size} bytes of weights"
        )
    builder = Builder(size + (1 << 20))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    # `Output` would copy the file once more.
    return bytes(memoryview(builder.Bytes)[builder.Head() :])


def constant_of(model: Any, tensor: Any) -> np.ndarray | None:
    """Read a dense float32 constant.

    Args:
        model: The model that has the tensor.
        tensor: A `TensorT`.

    Returns:
        The array, or `None` if the tensor is computed, sparse, a variable, or of another type.
    """
    from ai_edge_litert import schema_py_generated as schema

    data = model.buffers[tensor.buffer].data
    is_float = tensor.type == schema.TensorType.FLOAT32
    if data is None or not is_float or tensor.sparsity is not None or tensor.isVariable:
        return None
    return np.asarray(data, np.uint8).view(np.float32).reshape(shape_of(tensor))


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Read the shape of a tensor.

    Args:
        tensor: A `TensorT`.

    Returns:
        The shape.
    """
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def open_shape_of(tensor: Any) -> tuple[int, ...]:
    """Read the shape of a tensor that may have open axes.

    Args:
        tensor: A `TensorT`.

    Returns:
        The shape, with -1 for an open axis.
    """
    signature = tensor.shapeSignature
    return shape_of(tensor) if signature is None else tuple(int(size) for size in signature)


def add_constant(model: Any, graph: Any, name: str, array: np.ndarray) -> int:
    """Add a constant to a graph.

    Args:
        model: The model that has the graph.
        graph: A `SubGraphT`.
        name: Name of the tensor.
        array: An array of int16, int32, float16 or float32.

    Returns:
        The index of the new tensor.
    """
    from ai_edge_litert import schema_py_generated as schema

    types = {
        "int16": schema.TensorType.INT16,
        "int32": schema.TensorType.INT32,
        "float16": schema.TensorType.FLOAT16,
        "float32": schema.TensorType.FLOAT32,
    }
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    model.buffers.append(schema.BufferT(data=content))
    return add_tensor(graph, name, types[array.dtype.name], array.shape, len(model.buffers) - 1)


def add_tensor(graph: Any, name: str, dtype: int, shape: tuple[int, ...], buffer: int = 0) -> int:
    """Add a tensor to a graph.

    Args:
        graph: A `SubGraphT`.
        name: Name of the tensor.
        dtype: A `TensorType` of the schema.
        shape: Its shape, with -1 for an open axis.
        buffer: Index of its buffer; 0 is the empty one of computed tensors.

    Returns:
        The index of the new tensor.
    """
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT(name=name.encode(), type=dtype, buffer=buffer, hasRank=True)
    tensor.shape = [abs(size) for size in shape]
    tensor.shapeSignature = list(shape) if -1 in shape else None
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def operator_code(model: Any, operation: int, version: int) -> int:
    """Find or add the code of an operation.

    Args:
        model: The model.
        operation: A `BuiltinOperator` of the schema.
        version: Version of the operation.

    Returns:
        The index among the model's operator codes.
    """
    from ai_edge_litert import schema_py_generated as schema

    for index, code in enumerate(model.operatorCodes):
        if operation_of(code) == operation and code.version == version:
            return index
    # Codes above 127 do not fit the old field, where 127 is their placeholder.
    model.operatorCodes.append(
        schema.OperatorCodeT(
            deprecatedBuiltinCode=min(operation, 127), builtinCode=operation, version=version
        )
    )
    return len(model.operatorCodes) - 1


def names_of(enumeration: Any) -> dict[int, str]:
    """Name the members of an enumeration of the schema.

    Args:
        enumeration: Such as `BuiltinOperator`.

    Returns:
        The names by their values.
    """
    return {value: name for name, value in vars(enumeration).items() if name.isupper()}


def operation_of(code: Any) -> int:
    """Read the operation of a code, in new files and in those of old converters.

    Args:
        code: An `OperatorCodeT`.

    Returns:
        The `BuiltinOperator` of the schema.
    """
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))
