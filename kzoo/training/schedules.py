"""How the learning rate changes during training."""

from typing import Any

import keras

from kzoo.arguments import check_counts, check_positive_integers, check_positive_numbers


@keras.saving.register_keras_serializable("kzoo")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises linearly from 0 to its peak, and falls linearly back to 0.

    At step s, counted from 0, it is peak s / warmup_steps during warm-up, and then
    peak (total_steps - s) / (total_steps - warmup_steps), 0 after the last step. It is the linear
    schedule of `transformers`.

    Args:
        peak: The highest rate.
        total_steps: Number of training steps, warm-up included.
        warmup_steps: Steps of the warm-up, fewer than all.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import kzoo
        >>> schedule = kzoo.training.WarmupLinearDecay(1e-3, total_steps=100, warmup_steps=10)
        >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 55, 100)]
        [0.0, 0.0005, 0.001, 0.0005, 0.0]

    References:
        Devlin et al., BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding, 2018, appendix A.2. https://arxiv.org/abs/1810.04805
    """

    def __init__(self, peak: float, total_steps: int, warmup_steps: int = 0) -> None:
        super().__init__()
        check_positive_numbers(peak=peak)
        check_positive_integers(total_steps=total_steps)
        check_counts(warmup_steps=warmup_steps)
        if warmup_steps >= total_steps:
            raise ValueError(
                f"`warmup_steps` must be below `total_steps`, {total_steps}. "
                f"Received: warmup_steps={warmup_steps}"
            )
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, a float32 scalar."""
        ops = keras.ops
        step = ops.cast(step, "float32")
        rise = step / max(self.warmup_steps, 1)
        fall = (self.total_steps - step) / (self.total_steps - self.warmup_steps)
        share = ops.where(step < self.warmup_steps, rise, ops.maximum(fall, 0.0))
        return self.peak * share

    def get_config(self) -> dict[str, Any]:
        """Return what `from_config` needs."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }
