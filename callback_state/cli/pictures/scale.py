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
    """An axis.

    Attributes:
        low, high: the values at the ends.
        start, stop: the coordinates of the ends.
        logarithmic: whether values are placed by their logarithm; then all of them are positive.
    """

    low: float
    high: float
    start: float
    stop: float
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
        """Round values between the ends, about four of them.

        Example:
            >>> Scale(0, 10, 0, 1).ticks()
            [0.0, 5.0, 10.0]
        """
        return self._decades() if self.logarithmic else self._round()

    def _decades(self) -> list[float]:
        powers = range(math.ceil(math.log10(self.low) - _CLOSE), math.floor(math.log10(self.high) + _CLOSE) + 1)
        return [10.0**power for power in powers[:: 1 + (len(powers) - 1) // (_STEPS + 1)]]

    def _round(self) -> list[float]:
        step = self._step()
        first, last = math.ceil(self.low / step - _CLOSE), math.floor(self.high / step + _CLOSE)
        return [k * step for k in range(first, last + 1)]

    def _step(self) -> float:
        least = (self.high / _STEPS - self.low / _STEPS) * (1 - _CLOSE)
        power = 10.0 ** math.floor(math.log10(least))
        return next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= least)


def labels(values: Sequence[float]) -> list[str]:
    """Write values as short texts that are all different.

    Example:
        >>> labels([0.9990, 0.9995, 1.0])
        ['0.999', '0.9995', '1']
    """
    for digits in range(3, 18):
        texts = [f"{value:.{digits}g}" for value in values]
        if len({*texts}) == len({*values}):
            break
    return texts
