"""What Keras' users do with every layer: attach masks, clone, subclass, pass NumPy's numbers."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kzoo.layers import MaskedLMHead, RelativeKeys
from tests.arrays import Array, Inputs, graph_inputs, to_numpy

MASKS = ("mask", "padding_mask")
# Keep the axis of tokens and carry no mask on: weights say which of their predictions count.
ENDS = (MaskedLMHead,)
# Return a number for each pair of positions, (B, N, T, S).
PAIRS = (RelativeKeys,)
# The same float32 sums, of zeros where something is masked.
ROUNDING = 1e-5
SCALARS: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float32}


def check_conventions(layer: keras.layers.Layer, inputs: Inputs, folder: Path) -> None:
    """Hold a built layer to Keras' own conventions.

    Args:
        layer: A built layer without dropout.
        inputs: Its call arguments by name, as NumPy arrays.
        folder: Where files may be written.
    """
    model = functional(layer, inputs)
    check_clone(model, layer, inputs)
    check_file(model, layer, inputs, folder)
    check_numpy_arguments(layer)
    check_subclass(layer, inputs, folder)
    first = next(iter(inputs.values()))
    if first.dtype.kind == "f" and first.ndim > 2 and "images" not in inputs:
        check_masks(layer, inputs)


def check_clone(model: keras.Model, layer: keras.layers.Layer, inputs: Inputs) -> None:
    """A clone with the same weights computes the same."""
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    assert clone.get_layer(layer.name) is not layer
    check_twin(clone, model, layer.name, inputs)


def check_file(model: keras.Model, layer: keras.layers.Layer, inputs: Inputs, folder: Path) -> None:
    """A model comes back from a file and computes the same."""
    path = folder / f"{layer.name}.keras"
    model.save(path)
    check_twin(keras.saving.load_model(path), model, layer.name, inputs)


def check_twin(twin: keras.Model, model: keras.Model, name: str, inputs: Inputs) -> None:
    assert twin.get_layer(name).get_config() == model.get_layer(name).get_config()
    np.testing.assert_array_equal(to_numpy(twin(inputs)), to_numpy(model(inputs)))


def check_numpy_arguments(layer: keras.layers.Layer) -> None:
    """NumPy's scalars are numbers, also in what the arguments hold."""
    config = layer.get_config()
    twin = type(layer).from_config(mapped(config, lambda value: SCALARS[type(value)](value)))
    expected = mapped(config, lambda value: SCALARS[type(value)](value).item())
    assert twin.get_config() == expected
    assert json.loads(json.dumps(twin.get_config())) == expected


def mapped(value: Any, change: Any) -> Any:
    """Change every number and truth value in a config."""
    if isinstance(value, dict):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(mapped(item, change) for item in value)
    return change(value) if type(value) in SCALARS else value


def check_subclass(layer: keras.layers.Layer, inputs: Inputs, folder: Path) -> None:
    """A subclass with the usual `get_config` comes back with what it adds."""
    subclass = usual_subclass(type(layer))
    noted = subclass.from_config({**layer.get_config(), "note": "kept"})
    assert noted.get_config() == {**layer.get_config(), "note": "kept"}
    model = functional(noted, inputs)
    noted.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(model(inputs)), to_numpy(layer(**inputs)))
    with keras.saving.custom_object_scope({"Noted": subclass}):
        check_clone(model, noted, inputs)
        check_file(model, noted, inputs, folder)


def usual_subclass(base: Any) -> Any:
    """Return a subclass `Noted` of a layer or model, written the way Keras' users do."""

    class Noted(base):
        def __init__(self, note: str = "", **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.note = note

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "note": self.note}

    return Noted


class Attach(keras.layers.Layer):
    """Attaches a mask to its input, as `Embedding(mask_zero=True)` does."""

    def __init__(self, mask: Array) -> None:
        super().__init__()
        self.attached = mask

    def call(self, inputs: Any) -> Any:
        return keras.ops.copy(inputs)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return keras.ops.convert_to_tensor(self.attached)


def check_masks(layer: keras.layers.Layer, inputs: Inputs) -> None:
    """An attached mask alone is obeyed, and carried on, in every kind of model.

    What stands at masked positions changes nothing elsewhere.
    """
    inputs = {name: value for name, value in inputs.items() if name not in MASKS}
    name, first = next(iter(inputs.items()))
    mask = masked_where_nothing_looks(inputs)
    other = np.where(np.expand_dims(mask, tuple(range(2, first.ndim))), first, first[::-1])
    attach = Attach(mask)

    def eager(arguments: Inputs) -> Any:
        return layer(**{**arguments, name: attach(arguments[name])})

    calls = [eager, functional(layer, inputs, attach)]
    if len(inputs) == 1:
        stack = keras.Sequential([keras.Input(batch_shape=first.shape), attach, layer])
        calls.append(lambda arguments: stack(arguments[name]))
    expected = to_numpy(eager(inputs))
    keeps_tokens = expected.shape[:2] == mask.shape
    carries = keeps_tokens and not isinstance(layer, ENDS)
    seen: Any = mask if keeps_tokens else ...
    if isinstance(layer, PAIRS):
        seen = (..., slice(-1), slice(-1))  # the last position is the masked one
    for call in calls:
        for array in (first, other):
            output = call({**inputs, name: array})
            carried = getattr(output, "_keras_mask", None)
            assert (carried is not None) == carries
            if carries:
                np.testing.assert_array_equal(to_numpy(carried), mask)
            np.testing.assert_allclose(to_numpy(output)[seen], expected[seen], atol=ROUNDING)


def masked_where_nothing_looks(inputs: Inputs) -> Array:
    """Return a mask (B, T) without the last position of each row that no argument points at."""
    first = next(iter(inputs.values()))
    mask = np.ones(first.shape[:2], bool)
    for row, real in enumerate(mask):
        seen = inputs["mask_positions"][row] if "mask_positions" in inputs else []
        real[max(set(range(len(real))) - set(seen))] = False
    return mask


def functional(
    layer: keras.layers.Layer, inputs: Inputs, attach: Attach | None = None
) -> keras.Model:
    """Return a model of the layer, with a mask attached to the first input if there is one."""
    symbols = graph_inputs(inputs)
    first = next(iter(inputs))
    attached = {first: attach(symbols[first])} if attach else {}
    return keras.Model(symbols, layer(**{**symbols, **attached}))
