"""Versions of TFLite operations: what the types of tensors ask for, and which runtimes have them.

Both tables are those of LiteRT's `tflite/tools/versioning` (`op_version.cc`, `runtime_version.cc`),
read in November 2026.
"""

from collections.abc import Iterable, Sequence

# The version of an operation that computes int8, and int16.
_BY_TYPE: dict[tuple[str, ...], tuple[int, int]] = {
    ("ADD", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RELU", "PACK", "TANH", "LOGISTIC"): (2, 3),
    ("BATCH_MATMUL", "PAD", "PADV2", "CONCATENATION", "SOFTMAX", "MEAN", "MIRROR_PAD"): (2, 3),
    ("REDUCE_MAX", "REDUCE_MIN", "RELU6", "RSQRT", "DEQUANTIZE", "ABS"): (2, 3),
    ("SUB", "TRANSPOSE"): (2, 5),
    ("MUL", "SPLIT", "SLICE", "UNPACK", "MAXIMUM", "MINIMUM", "GATHER"): (2, 4),
    ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"): (2, 4),
    ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"): (2, 4),
    ("STRIDED_SLICE", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SPLIT_V", "SUM"): (2, 1),
    ("LOG_SOFTMAX", "SQUARED_DIFFERENCE", "L2_NORMALIZATION", "GELU", "SELECT"): (2, 1),
    ("EXP", "LOG"): (2, 2),
    ("BROADCAST_TO",): (3, 3),
    ("REVERSE_V2", "TILE"): (3, 1),
    ("LEAKY_RELU", "QUANTIZE"): (1, 2),
    ("CONV_2D",): (3, 4),
    ("DEPTHWISE_CONV_2D",): (3, 5),
    ("FULLY_CONNECTED",): (4, 7),
    ("TRANSPOSE_CONV",): (2, 3),
}
_VERSIONS = {name: versions for names, versions in _BY_TYPE.items() for name in names}
_TYPES = ("int8", "int16")
# The input whose type an operation computes with, where it is not the first.
_COMPUTED = {"SPLIT": 1, "TRANSPOSE_CONV": 2}
# The TensorFlow Lite releases that brought version 1, 2, ... of an operation.
_RELEASES = {
    "ABS": "1.13 2.4 2.5 2.6 2.12",
    "ADD": "1.5 1.14 2.4 2.6 2.13",
    "ARG_MAX": "1.9 1.14 2.9",
    "ARG_MIN": "1.9 1.14 2.9",
    "ATAN2": "2.10",
    "AVERAGE_POOL_2D": "1.5 1.14 2.3",
    "BATCH_MATMUL": "2.3 2.3 2.4 2.5",
    "BATCH_TO_SPACE_ND": "1.6 1.14 2.3 2.12",
    "BROADCAST_ARGS": "2.6",
    "BROADCAST_TO": "2.5 2.5 2.5",
    "CAST": "1.5 2.7 2.8 2.9 2.12 2.15 2.17",
    "CEIL": "1.14",
    "CONCATENATION": "1.5 1.14 2.3 2.14",
    "CONV_2D": "1.5 1.14 1.14 2.3 2.4 2.9 2.11 2.15",
    "CONV_3D": "2.5",
    "COS": "1.14",
    "CUMSUM": "2.4",
    "DEPTHWISE_CONV_2D": "1.5 1.12 1.14 2.2 2.3 2.3 2.11",
    "DEPTH_TO_SPACE": "2.1 2.5",
    "DEQUANTIZE": "1.13.1 1.14 1.15 2.2 2.7 2.18",
    "DIV": "1.6 2.3",
    "DYNAMIC_UPDATE_SLICE": "2.9 2.17 2.19 2.20",
    "ELU": "1.14",
    "EMBEDDING_LOOKUP": "1.13 1.14 1.14 2.18",
    "EQUAL": "1.14 1.14 2.3 2.13",
    "EXP": "1.7 2.12",
    "EXPAND_DIMS": "1.10",
    "FILL": "1.13 2.3 2.5 2.12",
    "FLOOR": "1.9",
    "FLOOR_DIV": "1.14 1.14 2.13",
    "FLOOR_MOD": "1.13 2.13",
    "FULLY_CONNECTED": "1.5 1.10 1.14 1.14 2.0 2.1 2.3 2.3 2.3 2.11 2.15 2.17 2.18",
    "GATHER": "1.6 1.14 1.15 2.4 2.5 2.13 2.15",
    "GATHER_ND": "1.14 2.3 2.5 2.13 2.16",
    "GELU": "2.9 2.9",
    "GREATER": "1.14 1.14",
    "GREATER_EQUAL": "1.14 1.14 2.13",
    "HARD_SWISH": "1.15",
    "IF": "1.15",
    "L2_NORMALIZATION": "1.5 1.14",
    "LEAKY_RELU": "1.13.1 2.3",
    "LESS": "1.14 1.14 2.13",
    "LESS_EQUAL": "1.14 1.14",
    "LOG": "1.14 2.15",
    "LOGICAL_AND": "1.11",
    "LOGICAL_NOT": "1.11",
    "LOGICAL_OR": "1.11",
    "LOGISTIC": "1.14 1.14 2.3",
    "LOG_SOFTMAX": "1.14 1.14",
    "LSTM": "1.7 1.10 1.14 2.3",
    "MAXIMUM": "1.14 1.14 2.3 2.3",
    "MAX_POOL_2D": "1.5 1.14 2.3",
    "MEAN": "1.6 1.14 2.4",
    "MINIMUM": "1.14 1.14 2.3 2.3",
    "MIRROR_PAD": "1.13.1 2.3 2.12",
    "MUL": "1.5 1.14 1.15 2.3 2.6 2.11 2.13",
    "NEG": "1.9",
    "NOT_EQUAL": "1.14 1.14 2.3",
    "ONE_HOT": "1.11",
    "PACK": "1.11 1.14 2.3 2.13",
    "PAD": "1.5 1.14 2.4 2.6",
    "PADV2": "1.9 1.14 2.4 2.6",
    "POW": "1.10",
    "PRELU": "1.8",
    "QUANTIZE": "1.14 1.15 2.7",
    "RANGE": "1.13 2.14",
    "REDUCE_ALL": "2.6",
    "REDUCE_ANY": "1.11",
    "REDUCE_MAX": "1.11 1.14 2.5",
    "REDUCE_MIN": "1.11 1.14 2.5",
    "REDUCE_PROD": "1.11 2.6",
    "RELU": "1.5 2.1 2.5",
    "RELU6": "1.5 1.14 2.5",
    "RELU_N1_TO_1": "1.5",
    "RESHAPE": "1.5",
    "RESIZE_BILINEAR": "1.7 1.14 2.2 2.5",
    "RESIZE_NEAREST_NEIGHBOR": "1.13.1 1.14 2.3 2.4",
    "REVERSE_V2": "1.14 2.2 2.5",
    "ROUND": "1.14",
    "RSQRT": "1.10 2.5 2.15",
    "SCATTER_ND": "2.1",
    "SELECT": "1.14 1.14 2.12 2.12",
    "SELECT_V2": "2.2 2.12",
    "SHAPE": "1.10",
    "SIGN": "2.11 2.12",
    "SIN": "1.9",
    "SLICE": "1.14 1.14 1.14 2.4 2.5 2.14",
    "SOFTMAX": "1.5 1.14 2.3",
    "SPACE_TO_BATCH_ND": "1.6 1.14 2.3 2.12",
    "SPACE_TO_DEPTH": "1.5 1.14",
    "SPLIT": "1.5 1.14 1.14 2.3",
    "SPLIT_V": "1.13.1 2.3",
    "SQRT": "1.10",
    "SQUARE": "1.12",
    "SQUARED_DIFFERENCE": "1.13.1 2.5",
    "SQUEEZE": "1.6 2.5",
    "STABLEHLO_COMPOSITE": "2.17",
    "STRIDED_SLICE": "1.6 1.14 2.1 2.2 2.5 2.6 2.14 2.14",
    "SUB": "1.6 1.14 2.3 2.4 2.4",
    "SUM": "1.10 1.15",
    "TANH": "1.14 1.14 2.3",
    "TILE": "1.10.1 2.2 2.8",
    "TOPK_V2": "1.7 1.14 2.13",
    "TRANSPOSE": "1.6 1.14 1.15 2.3 2.4 2.12 2.14.4",
    "TRANSPOSE_CONV": "1.9 2.2 2.3 2.13 2.15",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "1.13.1 1.14 2.3 2.12",
    "UNPACK": "1.11 1.14 2.2 2.3",
    "WHERE": "1.14 2.8",
    "WHILE": "1.15",
    "ZEROS_LIKE": "1.12",
}


def computed_with(kind: str, inputs: Sequence[int], outputs: Sequence[int]) -> int | None:
    """Find the tensor whose type an operation computes with.

    Args:
        kind: The operation, such as `ADD`.
        inputs: The tensors it reads.
        outputs: The tensors it computes.

    Returns:
        One of them, or `None` if it reads none.
    """
    place = _COMPUTED.get(kind, 0)
    if len(inputs) <= place:
        return None
    return int(outputs[0] if kind == "QUANTIZE" else inputs[place])


def version_for(kind: str, dtype: str) -> int:
    """Choose the version of an operation by the type of what it computes with.

    Args:
        kind: The operation, such as `ADD`.
        dtype: `int8` or `int16`; others ask for nothing.

    Returns:
        The least version that says so.
    """
    return _VERSIONS.get(kind, (1, 1))[_TYPES.index(dtype)] if dtype in _TYPES else 1


def least_runtime(operations: Iterable[tuple[str, int]]) -> str:
    """Find the oldest runtime that has all operations of a file.

    Args:
        operations: Operations with their versions.

    Returns:
        A release of TensorFlow Lite, and what the table does not know.
    """
    found: list[tuple[int, ...]] = [(0,)]
    unknown = set()
    for kind, version in set(operations):
        releases = _RELEASES.get(kind, "").split()
        if version > len(releases):
            unknown.add(f"{kind} {version}")
            continue
        found.append(tuple(map(int, releases[version - 1].split("."))))
    release = f"TensorFlow Lite {'.'.join(map(str, max(found)))}"
    return f"{release}, unknown: {', '.join(sorted(unknown))}" if unknown else release
