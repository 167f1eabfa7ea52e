"""Low-rank adaptation: training a few weights in place of all."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from kzoo.arguments import check_positive_integers, check_positive_numbers

# What stands after a backbone, and is new for every task.
_HEADS = ("classifier", "classifier_pooler", "pooler", "token_classifier", "span", "masked_lm")


@contextlib.contextmanager
def lora(
    model: keras.Model,
    rank: int = 8,
    alpha: float | None = None,
    targets: Sequence[str] = ("query", "value"),
    heads: Sequence[str] = _HEADS,
    seed: int = 0,
) -> Iterator[int]:
    """Train low-rank changes of some projections, and the head, in place of all weights.

    Inside, the kernel of each projection is W + alpha / rank * A B, with A (D, rank) and
    B (rank, D) trained, and everything but these and the heads is frozen. At the end the changes
    are added to the kernels, so that the model is again what it was, with other numbers: its
    outputs stay those of the last step. Also after an error, and what was frozen before stays so.

    Args:
        model: A built model; compile it inside, unless its `fit` does so.
        rank: Columns of A.
        alpha: What the changes are scaled by, times rank; `rank` by default.
        targets: Names of the dense layers that are changed.
        heads: Names of the layers that are trained as a whole, where the model has them.
        seed: Seed of A; B begins with zeros.

    Yields:
        The number of weights that are trained.

    Raises:
        ValueError: If the model has no such layer, or one that is changed already.

    Example:
        >>> import kzoo
        >>> backbone = kzoo.load("bert_tiny", weights="random")
        >>> classifier = kzoo.tasks.TextClassifier(backbone, ["good", "bad"])
        >>> with kzoo.training.lora(classifier, rank=2) as count:
        ...     print(f"{count / classifier.count_params():.2%}")
        0.42%

    References:
        Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021, section 4.1.
        https://arxiv.org/abs/2106.09685
    """
    check_positive_integers(rank=rank)
    check_positive_numbers(alpha=rank if alpha is None else alpha)
    changed = _find(model, targets)
    variables = [(variable, variable.trainable) for variable in model.variables]
    try:
        for variable, _ in variables:
            variable.trainable = False
        for index, layer in enumerate(changed):
            # Numbers of their own for each layer.
            initial = keras.initializers.HeUniform(seed=seed + index)
            layer.enable_lora(rank, lora_alpha=alpha, a_initializer=initial)
        for layer in model._flatten_layers():
            if layer.name in heads:
                for variable in layer.weights:
                    variable.trainable = True
        _forget_functions(model)
        yield sum(int(keras.ops.size(weight)) for weight in model.trainable_weights)
    finally:
        for layer in changed:
            _merge(layer)
        for variable, trainable in variables:
            variable.trainable = trainable
        _forget_functions(model)


def _find(model: keras.Model, targets: Sequence[str]) -> list[Any]:
    """Find the layers that are changed."""
    dense = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)]
    found = [layer for layer in dense if layer.name in targets]
    if not found:
        names = ", ".join(dict.fromkeys(layer.name for layer in dense))
        raise ValueError(
            f"`targets` must be names of dense layers of the model: {names or 'it has none'}. "
            f"Received: targets={targets!r}"
        )
    if any(layer.lora_enabled for layer in found):
        raise ValueError(f"`model` must not be in `lora` already. Received: model={model.name!r}")
    return found


def _merge(layer: Any) -> None:
    """Add a change to the kernel, and take its variables away."""
    if not layer.lora_enabled:
        return
    layer._kernel.assign(layer.kernel)
    for variable in (layer.lora_kernel_a, layer.lora_kernel_b):
        layer._untrack_variable(variable)
    layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
    layer.lora_kernel_a = layer.lora_kernel_b = None


def _forget_functions(model: Any) -> None:
    """Have Keras compile anew what it compiled for the other weights, as `quantize` does."""
    model.train_function = model.test_function = model.predict_function = None
