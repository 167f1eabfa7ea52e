"""AdamW by PyTorch's own kernel, which passes over each weight once.

Imported where the backend is PyTorch: besides attention the one module that needs a backend itself.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim.adamw import adamw

# Where PyTorch has that kernel.
_FUSED = ("cpu", "cuda", "mps", "xpu")


def adamw_step(
    tensors: Sequence[Sequence[Any]],
    iterations: Any,
    rate: Any,
    settings: dict[str, float],
) -> None:
    """Change weights and their averages, in place, by one step.

    Args:
        tensors: The weights, their gradients, the averages of these and those of their squares, all
            of a weight of one dtype.
        iterations: How many steps have been made, a tensor.
        rate: The rate, a tensor.
        settings: `beta1`, `beta2`, `eps` and `weight_decay`.
    """
    weights, gradients, averages, squares = map(list, tensors)
    # The kernel on a CPU goes through memory from the start, whatever the strides.
    gradients = [gradient.contiguous() for gradient in gradients]
    in_place = (*weights, *averages, *squares)
    fused = all(each.is_contiguous() and each.device.type in _FUSED for each in in_place)
    # Each step count is raised by one.
    steps = iterations.to(torch.float32).expand(len(weights)).clone().unbind()
    with torch.no_grad():
        adamw(
            weights,
            gradients,
            averages,
            squares,
            [],
            list(steps),
            fused=fused,
            foreach=False,
            amsgrad=False,
            maximize=False,
            lr=rate,
            **settings,
        )
