"""From values to coordinates, with round numbers along the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["Scale", "labels"]

#: Values that are closer together than this part of themselves are one; so are those that hardly differ from zero.
_CLOSE, _TINY = 1e-5, 1e-280
#: How many steps an axis has at most, by and large.
_STEPS = 4


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        low, high: the values at its ends.
        start, stop: the coordinates of its ends.
        logarithmic: whether values, all of them positive, are placed by their logarithm.
    """

    low: float
    high: float
    start: float
    stop: float
    logarithmic: bool = False

    @classmethod
    def of(cls, values: Sequence[float], start: float, stop: float) -> Scale:
        """The axis from the least of some values to the greatest, with some room where they are the same."""
        low, high = min(values), max(values)
        size = max(abs(low), abs(high))
        if high - low <= max(_CLOSE * size, _TINY):
            room = 0.1 * size if size > _TINY else 1.0
            low, high = low - room, high + room
        return cls(low, high, start, stop)

    def rounded(self) -> Scale:
        """The same from one round value to another."""
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
    """Values as short texts, each another one.

    Example:
        >>> labels([0.9990, 0.9995, 1.0])
        ['0.999', '0.9995', '1']
    """
    for digits in range(3, 18):
        texts = [f"{value:.{digits}g}" for value in values]
        if len({*texts}) == len({*values}):
            break
    return texts
