"""Prepare a model for export: what is known of it before any file is made."""

import dataclasses
from collections.abc import Mapping
from types import EllipsisType
from typing import Any

import keras
import numpy as np

from kzoo.arguments import check_positive_integers
from kzoo.models.backbone import find_tokenizer
from kzoo_export.errors import beginning
from kzoo_export.labels import find_classes
from kzoo_export.samples import Reader, Samples
from kzoo_export.source.forms import as_functional, in_float32
from kzoo_export.source.kinds import Kinds, find_kinds, vocabularies
from kzoo_export.source.names import file_dtype, named_inputs, named_outputs, pack_inputs
from kzoo_export.source.reference import reference_outputs
from kzoo_export.source.saving import CustomObjects, collect
from kzoo_export.spec import OPEN, Signature, TensorSpec
from kzoo_export.trials import Trial, trials_by_kinds

# A number, `None` for an open axis, or `...` where nothing was said.
Size = int | EllipsisType | None


@dataclasses.dataclass(frozen=True)
class Source:
    """A model in float32 and what a file of it needs to know.

    Attributes:
        model: The float32 form of the model.
        custom_objects: How another process gets the user's own classes.
        vocabularies: How many ids an input may hold, by name, where known.
        kinds: The kinds of its inputs and outputs, where known.
        trained_in: The policy of a model that computes in another precision, else `None`.
    """

    model: keras.Model
    custom_objects: CustomObjects
    vocabularies: Mapping[str, int]
    kinds: Kinds
    trained_in: str | None

    @property
    def backend(self) -> str:
        """The backend that computes the reference."""
        return str(keras.backend.backend())

    @property
    def float_size(self) -> int:
        """Bytes of the weights as float32."""
        return 4 * int(self.model.count_params())

    def signature(self, length: Size = ..., batch_size: int | None = 1) -> Signature:
        """Choose the sizes of the inputs and outputs of a file.

        Args:
            length: Size of the axes that the model leaves open, the batch excepted: `None` leaves
                them open in the file, and a model that fixes them all takes no length.
            batch_size: Size of the batch axis, or `None` to leave it open.

        Returns:
            Inputs and outputs in the model's own order.

        Raises:
            ValueError: If a size is not possible, or missing.
        """
        inputs = _input_specs(self.model, length, batch_size)
        signature = self.declare(inputs, _output_specs(self.model, inputs))
        for entry in signature.outputs:
            if signature.static and OPEN in entry.shape:
                raise ValueError(
                    "`model` must have outputs whose shapes follow from those of its inputs. "
                    f"Received: an output {entry.name!r} of the shape {entry.sizes}"
                )
        return signature

    def declare(self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Signature:
        """Make a signature of given inputs and outputs, with the kinds of this model.

        Args:
            inputs: Inputs with the names of the model's.
            outputs: Outputs with the names of the model's.

        Returns:
            The signature.
        """
        return Signature(
            inputs, outputs, input_kinds=self.kinds.inputs, output_kinds=self.kinds.outputs
        )

    def fix(self, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
        """Give axes that a file leaves open, but the model does not, the sizes of the model.

        Args:
            inputs: The inputs of the file.

        Returns:
            The inputs as the model can be run on them.
        """
        own = named_inputs(self.model)
        return tuple(entry.filled(own[entry.name].shape) for entry in inputs)

    def reader(self, signature: Signature, seed: int = 0) -> Reader:
        """Prepare to read samples.

        Args:
            signature: What they must fit.
            seed: Seed of random samples.

        Returns:
            The reader, which knows the model's vocabularies, tokenizer and classes.
        """
        return Reader(
            signature.inputs,
            self.vocabularies,
            find_tokenizer(self.model),
            seed,
            self.kinds.inputs,
            find_classes(signature, getattr(self.model, "labels", None)),
        )

    def trials(self, inputs: tuple[TensorSpec, ...], samples: Samples) -> tuple[Trial, ...]:
        """Compute the reference in every size that a file is verified at.

        Args:
            inputs: The inputs of the file.
            samples: What to run the model on.

        Returns:
            The trials.
        """
        return trials_by_kinds(inputs, samples, self.run, self.kinds.inputs, self.vocabularies)

    def run(self, samples: Samples) -> dict[str, np.ndarray]:
        """Compute the reference, in this process and backend.

        Args:
            samples: What to run the model on.

        Returns:
            Outputs by name, one row for each sample.

        Raises:
            ValueError: If an output has no finite number, or the model cannot be run on samples
                that were made for want of any.
        """
        if samples.given:
            return reference_outputs(self.model, samples.arrays)
        try:
            outputs = reference_outputs(self.model, samples.arrays)
        except Exception as error:  # Each backend has its own for an index out of range.
            raise ValueError(_needs_samples(self.model, samples, str(error))) from error
        for name, array in outputs.items():
            # JAX gives NaN for an index out of range.
            if np.isnan(array).any():
                raise ValueError(_needs_samples(self.model, samples, f"NaN in {name!r}"))
        return outputs


def prepare(model: keras.Model, kinds: Mapping[str, str] | None = None) -> Source:
    """Look at a model once, for every file that is made of it.

    Args:
        model: A built model.
        kinds: Kinds of inputs and outputs by name; the others are found.

    Returns:
        Its float32 form and what else is needed.

    Raises:
        ValueError: If the model cannot be saved or has no known inputs.
    """
    _refuse_quantized(model)
    custom_objects = collect(model)
    model, trained_in = in_float32(as_functional(model))
    found = find_kinds(model, kinds)
    return Source(model, custom_objects, vocabularies(model), found, trained_in)


def _refuse_quantized(model: keras.Model) -> None:
    """Refuse a model whose weights Keras has quantized: no converter reads them."""
    for layer in model._flatten_layers():
        if isinstance(layer.dtype_policy, keras.dtype_policies.QuantizedDTypePolicy):
            raise ValueError(
                "`model` must have its float weights: export it before `model.quantize`, and "
                "choose a recipe such as 'dynamic_int8'. Received: layer "
                f"{layer.name!r} with the dtype policy {layer.dtype_policy.name!r}"
            )


def _needs_samples(model: keras.Model, samples: Samples, reason: str) -> str:
    """Ask for samples, with the beginning of the reason."""
    return (
        f"`samples` must be given for this model, as it cannot be run on {samples.source}: its "
        f"inputs may be ids of a table that is not known. Received: samples=None for "
        f"model={model.name!r} ({beginning(reason)})"
    )


def has_open_length(model: keras.Model) -> bool:
    """Tell whether a model leaves an axis open besides the batch.

    Args:
        model: A built model.

    Returns:
        True if it takes a length.
    """
    inputs = named_inputs(as_functional(model))
    return any(None in tensor.shape[1:] for tensor in inputs.values())


def _input_specs(
    model: keras.Model, length: Size, batch_size: int | None
) -> tuple[TensorSpec, ...]:
    given = {"batch_size": batch_size, "length": length}
    fixed = {name: size for name, size in given.items() if size is not None and size is not ...}
    check_positive_integers(**fixed)
    inputs = named_inputs(model)
    shapes = ", ".join(f"{name} {tensor.shape}" for name, tensor in inputs.items())
    is_open = has_open_length(model)
    if is_open and length is ...:
        raise ValueError(
            f"`length` must be given: the model leaves the shapes {shapes} open. Received: "
            "no length. Give a number, or None to leave them open in the file"
        )
    if not is_open and length is not ...:
        raise ValueError(
            f"`length` must be left out: the model fixes the shapes {shapes}. "
            f"Received: length={length}"
        )
    specs = []
    for name, tensor in inputs.items():
        first, *rest = tensor.shape
        if first not in (None, batch_size):
            raise ValueError(
                f"`batch_size` must be {first}, which the model fixes. "
                f"Received: batch_size={batch_size}"
            )
        sizes: Any = (batch_size, *(length if size is None else size for size in rest))
        specs.append(TensorSpec.from_sizes(name, sizes, file_dtype(tensor.dtype)))
    return tuple(specs)


def _output_specs(model: keras.Model, inputs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """Compute the shapes of the outputs for given inputs, without running anything."""
    dtypes = {name: tensor.dtype for name, tensor in named_inputs(model).items()}
    tensors = {
        entry.name: keras.KerasTensor(entry.sizes, dtypes[entry.name], name=entry.name)
        for entry in inputs
    }
    outputs = named_outputs(model, model.compute_output_spec(pack_inputs(model, tensors)))
    return tuple(
        TensorSpec.from_sizes(
            name, tensor.shape, file_dtype(keras.backend.standardize_dtype(tensor.dtype))
        )
        for name, tensor in outputs.items()
    )
