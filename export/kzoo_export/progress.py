"""Progress: the step that goes on, the fraction that is done, and the seconds of every step."""

import collections
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

# Told each step that begins or goes on, and the fraction that is done.
Progress = Callable[[str, float], None]
Subject = TypeVar("Subject")
Result = TypeVar("Result")


def silent(step: str, fraction: float) -> None:
    """Tell nobody.

    Args:
        step: The step.
        fraction: What is done.
    """


def part(tell: Progress, low: float, high: float) -> Progress:
    """Map the progress of one step to its part of the whole.

    Args:
        tell: Takes the progress of the whole.
        low: The fraction that is done where the step begins.
        high: The fraction that is done where it ends.

    Returns:
        What takes the progress of the step.
    """
    return lambda step, fraction: tell(step, low + (high - low) * fraction)


def told(
    function: Callable[[Subject], Result], tell: Progress, step: str, most: int
) -> Callable[[Subject], Result]:
    """Tell of every call of a function.

    Args:
        function: What takes long.
        tell: Told before each call.
        step: How the calls together are called.
        most: How often the function is called at most.

    Returns:
        The same function.
    """
    calls = 0

    def call(subject: Subject) -> Result:
        nonlocal calls
        tell(step, calls / most)
        calls += 1
        return function(subject)

    return call


class Stopwatch:
    """Adds up the seconds of steps from what it is told, and passes it on."""

    def __init__(self, tell: Progress) -> None:
        self._tell = tell
        self._totals: dict[str, float] = collections.defaultdict(float)
        self._step = ""
        self._begun = time.perf_counter()

    def tell(self, step: str, fraction: float) -> None:
        """Begin a step, or go on with it.

        Args:
            step: The step.
            fraction: What is done.
        """
        self._add()
        self._step = step
        self._tell(step, fraction)

    def stop(self) -> Mapping[str, float]:
        """End the last step.

        Returns:
            The seconds of each step, in the order in which they began.
        """
        self._add()
        self._step = ""
        return {step: round(total, 3) for step, total in self._totals.items()}

    def _add(self) -> None:
        now = time.perf_counter()
        if self._step:
            self._totals[self._step] += now - self._begun
        self._begun = now
