"""What an exported file must be: its format, its route and the signatures of its graph."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from kzoo.arguments import close_matches

# What runs a file of each format: the file is verified with nothing else.
RUNTIMES = {"tflite": ("ai_edge_litert",), "onnx": ("onnx", "onnxruntime")}
# The size of an axis that a file leaves to its caller.
OPEN = -1


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One named input or output of an exported graph; an axis without a fixed size is `OPEN`.

    Integers q that stand for the floats scale * (q - zero point) have `quantization`, these two.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: tuple[float, int] | None = None

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """The shape as Keras and TensorFlow write it, `None` for an open axis."""
        return tuple(None if size == OPEN else size for size in self.shape)

    @classmethod
    def from_sizes(cls, name: str, sizes: Iterable[int | None], dtype: str) -> "TensorSpec":
        """Describe a tensor whose shape Keras or TensorFlow wrote, `None` for an open axis."""
        return cls(name, tuple(OPEN if size is None else int(size) for size in sizes), dtype)

    def filled(self, sizes: Iterable[int | None]) -> "TensorSpec":
        """Give the open axes the sizes in their places; where there is `None` they stay open."""
        pairs = zip(self.sizes, sizes, strict=True)
        chosen = (given if size is None else size for size, given in pairs)
        return self.from_sizes(self.name, chosen, self.dtype)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "TensorSpec":
        """Rebuild a tensor from `dataclasses.asdict`, possibly after a trip through JSON."""
        quantization = fields.get("quantization")
        return cls(
            fields["name"],
            tuple(fields["shape"]),
            fields["dtype"],
            None if quantization is None else (quantization[0], quantization[1]),
        )

    @property
    def as_float(self) -> "TensorSpec":
        """The same, of the floats that integers stand for."""
        return self if self.quantization is None else type(self)(self.name, self.shape, "float32")


# What inputs and outputs can be declared as. Outputs of a kind are compared in the way of the kind.
INPUT_KINDS = ("token_ids", "mask")
OUTPUT_KINDS = (
    "hidden_states",  # (B, T, D), a row for each token
    "embedding",  # (B, D)
    "class_logits",  # (B, C), of classes of which a sample has one
    "label_logits",  # (B, C), of labels of which a sample has any number
    "regression_values",  # (B, 1)
    "token_logits",  # (B, T, C), (B, P, C) or (B, T)
    "span_logits",  # (B, T, 2): start and end
    "integers",  # class indices, counts, booleans
)


def check_kinds(
    kinds: Mapping[str, str], inputs: Collection[str], outputs: Collection[str]
) -> None:
    """Refuse kinds of tensors that are not there, or that do not exist.

    Args:
        kinds: What a user said, by name.
        inputs: Names of the inputs.
        outputs: Names of the outputs.

    Raises:
        ValueError: If a name or a kind is unknown.
    """
    for name, kind in kinds.items():
        if name not in inputs and name not in outputs:
            raise ValueError(
                "`kinds` must have names of inputs or outputs of the model. "
                f"Received: {name!r}. {close_matches(str(name), [*inputs, *outputs])}"
            )
        known = OUTPUT_KINDS if name in outputs else INPUT_KINDS
        if kind not in known:
            raise ValueError(
                f"`kinds[{name!r}]` must be a known kind. Received: {kind!r}. "
                f"{close_matches(str(kind), known)}"
            )


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function of a file: named inputs and outputs in their documented order, batch first.

    The kinds are those of `INPUT_KINDS` and `OUTPUT_KINDS`, by name, where they are known. A tracer
    that runs the model, PyTorch's, is given inputs of `traced_shapes`, by name, if axes are open.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    name: str = "serve"
    input_kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    output_kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    traced_shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

    @property
    def static(self) -> bool:
        """Whether every axis of the inputs has a fixed size."""
        return not any(OPEN in entry.shape for entry in self.inputs)

    @property
    def mask(self) -> str | None:
        """The first input that is known to be a padding mask."""
        return next((name for name, kind in self.input_kinds.items() if kind == "mask"), None)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Signature":
        """Rebuild a signature from `dataclasses.asdict`, possibly after a trip through JSON."""
        sides = {
            side: tuple(TensorSpec.from_dict(tensor) for tensor in fields[side])
            for side in ("inputs", "outputs")
        }
        traced = {name: tuple(shape) for name, shape in fields["traced_shapes"].items()}
        return cls(**{**fields, **sides, "traced_shapes": traced})


# Of a file whose model says nothing about it.
NOTHING_DECLARED = Signature((), ())


@dataclasses.dataclass(frozen=True)
class Spec:
    """The format of a file, the route that lowers to it, and its signatures.

    `portable` keeps an ONNX file to the standard operators.
    """

    format: str
    route: str
    signatures: tuple[Signature, ...]
    portable: bool = False

    @property
    def signature(self) -> Signature:
        """The first signature: the one that a file is run by where none is named."""
        return self.signatures[0]

    def to_dict(self) -> dict[str, Any]:
        """Describe the spec with JSON types only."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Spec":
        """Rebuild a spec from `to_dict`.

        Args:
            fields: What `to_dict` returned, possibly after a trip through JSON.

        Returns:
            The equal spec.
        """
        signatures = tuple(Signature.from_dict(each) for each in fields["signatures"])
        return cls(**{**fields, "signatures": signatures})


def format_of(path: str | Path) -> str:
    """Read the format of a file off its suffix.

    Args:
        path: Where the file is or will be.

    Returns:
        `"tflite"` or `"onnx"`.

    Raises:
        ValueError: If the suffix is neither.
    """
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in RUNTIMES:
        expected = " or ".join(f"`.{name}`" for name in RUNTIMES)
        raise ValueError(f"`path` must end in {expected}. Received: path={str(path)!r}")
    return suffix
