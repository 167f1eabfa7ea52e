"""Optimizers."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kzoo.arguments import check_positive_numbers


@keras.saving.register_keras_serializable("kzoo")
class AdamW(keras.optimizers.AdamW):
    """Adam with decoupled weight decay, step by step as PyTorch computes it.

    With m and v the moving averages of the gradient and of its square, and m', v' these without the
    bias towards 0 that they start with, a weight w becomes
    w - rate (m' / (sqrt(v') + epsilon) + weight_decay w). `keras.optimizers.AdamW` adds epsilon to
    sqrt(v) instead, where on the first step it weighs 1 / sqrt(1 - beta_2) = 31 times as much.

    Vectors do not decay: biases, and the scales and shifts of normalizations.

    Args:
        learning_rate: The rate, or a schedule.
        weight_decay: Share of each matrix that is taken away, times the rate.
        beta_1: What the average of gradients keeps of itself in a step.
        beta_2: What the average of their squares keeps.
        epsilon: Added to the root of the average of squares.
        rates: What the rate of a weight is multiplied by, by its path, 1 where nothing is said: see
            `layer_rates`.
        **kwargs: Other arguments of `keras.optimizers.AdamW`.

    References:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, algorithm 2.
        https://arxiv.org/abs/1711.05101
    """

    def __init__(
        self,
        learning_rate: Any = 1e-4,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        rates: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("amsgrad"):
            raise ValueError(
                "`amsgrad` must be False: it is not implemented. Received: amsgrad=True"
            )
        super().__init__(learning_rate, weight_decay, beta_1, beta_2, epsilon, **kwargs)
        self.rates = dict(rates or {})
        check_positive_numbers(**{f"rates[{path!r}]": rate for path, rate in self.rates.items()})

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs.

        Returns:
            The arguments.
        """
        return {**super().get_config(), **({"rates": self.rates} if self.rates else {})}

    def build(self, variables: Sequence[Any]) -> None:
        """Create the averages, and leave vectors without decay."""
        if not self.built:
            vectors = [variable for variable in variables if len(variable.shape) < 2]
            self.exclude_from_weight_decay(var_list=vectors)
        super().build(variables)
        paths = [variable.path for variable in variables]
        unknown = sorted(set(self.rates) - set(paths))
        if unknown:
            raise ValueError(
                f"`rates` must have paths of weights, such as {paths[0]!r}. "
                f"Received: {unknown[0]!r}"
            )
        self._factors = [self.rates.get(path, 1.0) for path in paths]

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Change the weights by one step.

        Args:
            grads: The gradients.
            trainable_variables: The variables, where the optimizer is not built yet.
        """
        variables = list(trainable_variables or self._trainable_variables)
        summed = [_sum(each, variable) for each, variable in zip(grads, variables, strict=True)]
        super().apply(summed, trainable_variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Change one weight; see the class."""
        ops, dtype = keras.ops, variable.dtype
        gradient, rate = ops.cast(gradient, dtype), ops.cast(learning_rate, dtype)
        step = ops.cast(self.iterations + 1, dtype)
        index = self._get_variable_index(variable)
        rate = rate * self._factors[index]
        average, squares = self._momentums[index], self._velocities[index]
        # The bias of m and v, taken out of the rate and of epsilon: these are numbers, not tensors.
        root = ops.sqrt(1 - ops.power(ops.cast(self.beta_2, dtype), step))
        rate = rate * root / (1 - ops.power(ops.cast(self.beta_1, dtype), step))
        epsilon = self.epsilon * root
        self.assign_add(average, (gradient - average) * (1 - self.beta_1))
        self.assign_add(squares, (ops.square(gradient) - squares) * (1 - self.beta_2))
        self.assign_sub(variable, rate * average / (ops.sqrt(squares) + epsilon))

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Let matrices decay, each by its own rate; Keras knows one rate."""
        if keras.config.backend() == "torch":  # It is part of the step.
            return
        if not self.rates:
            super()._apply_weight_decay(variables)
            return
        for variable in variables:
            if self._use_weight_decay(variable):
                factor = self._factors[self._get_variable_index(variable)]
                rate = keras.ops.cast(self.learning_rate, variable.dtype) * factor
                variable.assign(variable - variable * rate * self.weight_decay)

    def _backend_update_step(
        self, grads: Sequence[Any], trainable_variables: Sequence[Any], learning_rate: Any
    ) -> None:
        """Change all weights: PyTorch fuses nothing by itself, and has a kernel that does."""
        if keras.config.backend() != "torch":
            super()._backend_update_step(grads, trainable_variables, learning_rate)
            return
        from kzoo.training.fused import adamw_step

        groups: dict[tuple[float, bool], list[tuple[Any, ...]]] = {}
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            index = self._get_variable_index(variable)
            average, squares = self._momentums[index].value, self._velocities[index].value
            key = (self._factors[index], self._use_weight_decay(variable))
            slope = keras.ops.cast(gradient, variable.dtype)
            groups.setdefault(key, []).append((variable.value, slope, average, squares))
        rate = keras.ops.convert_to_tensor(learning_rate)
        settings = {"beta1": self.beta_1, "beta2": self.beta_2, "eps": self.epsilon}
        for (factor, decays), tensors in groups.items():
            settings["weight_decay"] = (self.weight_decay or 0.0) if decays else 0.0
            columns = list(zip(*tensors, strict=True))
            adamw_step(columns, self.iterations.value, rate * factor, settings)


def _sum(gradient: Any, variable: Any) -> Any:
    """Sum the rows of a gradient of a lookup, which TensorFlow keeps apart.

    It has a row for each time that a row of the table was looked up: the sum of their squares, in
    the average and in the norm that is clipped, is not the square of their sum.
    """
    if not hasattr(gradient, "dense_shape"):
        return gradient
    ops = keras.ops
    return ops.add(ops.zeros(variable.shape, gradient.dtype), gradient)


def layer_rates(model: keras.Model, decay: float) -> dict[str, float]:
    """Choose lower rates for earlier layers, whose features are the more general ones.

    Args:
        model: A backbone with a head.
        decay: The rate of a block against that of the next one. What stands after the last block
            has the whole rate, the embeddings that of a block before the first.

    Returns:
        Factors by the path of the weight, for `AdamW(rates=...)`.

    Raises:
        ValueError: If `decay` is not above 0 and at most 1, or the model has no blocks.

    References:
        Clark et al., ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators,
        2020, appendix B. https://arxiv.org/abs/2003.10555
    """
    check_positive_numbers(decay=decay)
    if decay > 1:
        raise ValueError(f"`decay` must be at most 1. Received: decay={decay}")
    depths = {weight.path: _depth(weight.path) for weight in model.trainable_weights}
    last = max((depth for depth in depths.values() if depth is not None), default=0)
    if not last:
        raise ValueError(f"`model` must have blocks. Received: model={model.name!r}")
    return {
        path: decay ** (last + 1 - depth) for path, depth in depths.items() if depth is not None
    }


def _depth(path: str) -> int | None:
    """Return 0 for embeddings, the number of a block from 1, and `None` for what comes after."""
    if re.search(r"(^|/)embedding/", path):
        return 0
    block = re.search(r"(^|/)block_(\d+)/", path)
    return int(block[2]) + 1 if block else None
