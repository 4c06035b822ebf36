"""Axes: from values to coordinates, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

#: Values count as equal if they differ by less than this part of themselves, or by almost nothing.
_CLOSE, _TINY = 1e-5, 1e-280
#: About how many steps an axis has at most.
_STEPS = 4


@dataclass(frozen=True)
class Scale:
    """An axis: from the value ``low`` at the coordinate ``start`` to ``high`` at ``stop``."""

    low: float
    high: float
    start: float
    stop: float
    #: Whether values are placed by their logarithm; then all of them are positive.
    logarithmic: bool = False

    @classmethod
    def of(cls, values: Sequence[float], start: float, stop: float) -> Scale:
        """Make an axis from the smallest to the largest value; if they are equal, with some room around them."""
        low, high = min(values), max(values)
        size = max(abs(low), abs(high))
        if high - low <= max(_CLOSE * size, _TINY):
            room = 0.1 * size if size > _TINY else 1.0
            low, high = low - room, high + room
        return cls(low, high, start, stop)

    def rounded(self) -> Scale:
        """The same axis, extended to round values at both ends."""
        step = self._step()
        low, high = math.floor(self.low / step + _CLOSE) * step, math.ceil(self.high / step - _CLOSE) * step
        return replace(self, low=low, high=high)

    def __call__(self, value: float) -> float:
        """The coordinate of a value."""
        low, high, value = (self._measure(v) for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.stop - self.start)

    def _measure(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        """Round values between the ends, about four of them."""
        step = 1.0 if self.logarithmic else self._step()
        low, high = self._measure(self.low) / step, self._measure(self.high) / step
        found = range(math.ceil(low - _CLOSE), math.floor(high + _CLOSE) + 1)
        if self.logarithmic:
            return [10.0**power for power in found[:: 1 + (len(found) - 1) // (_STEPS + 1)]]
        return [k * step for k in found]

    def _step(self) -> float:
        least = (self.high / _STEPS - self.low / _STEPS) * (1 - _CLOSE)
        power = 10.0 ** math.floor(math.log10(least))
        return next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= least)


def labels(values: Sequence[float]) -> list[str]:
    """Write values as short texts that are all different."""
    for digits in range(3, 18):
        texts = [f"{value:.{digits}g}" for value in values]
        if len({*texts}) == len({*values}):
            break
    return texts
