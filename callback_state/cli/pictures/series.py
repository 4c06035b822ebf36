"""Values over places, as far as a picture can show them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..values.short import short

__all__ = ["Panel", "Series", "is_drawn"]

#: A positive series that spans more than this is drawn by its logarithm.
_WIDE = 1000
#: What lies beyond has no picture; what is smaller has no logarithm.
_LARGEST, _SMALLEST = 1e300, 1e-270
#: Points of one line: a picture has fewer columns.
_POINTS = 2000

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Values over places; values may be infinite or no number.

    Attributes:
        points: (place, value).
        left_out: how many more there were.
    """

    name: str
    points: tuple[Point, ...]
    left_out: int = 0

    @property
    def role(self) -> str:
        """What it is beside the other one in its panel."""
        return "validation" if self.name.startswith("val_") else "training"

    @property
    def drawn(self) -> list[float]:
        """The values that have a place in a picture."""
        return [value for _, value in self.points if is_drawn(value)]

    @property
    def changes(self) -> bool:
        return len({repr(value) for _, value in self.points}) > 1

    def runs(self) -> list[list[Point]]:
        """The points that a line joins: it is broken where a value has no place."""
        found: list[list[Point]] = [[]]
        for place, value in self.points:
            if is_drawn(value):
                found[-1].append((place, value))
            elif found[-1]:
                found.append([])
        return [run for run in found if run]

    def thinned(self) -> Series:
        """The series with a short name, and no more points than a picture shows.

        Of each of many parts the least and the greatest value stay, and one that breaks the line; the first point
        and the last one stay too.
        """
        count = len(self.points)
        if count <= _POINTS:
            return Series(short(self.name), self.points)
        size = math.ceil(count / (_POINTS // 3 - 1))
        parts = (range(start, min(start + size, count)) for start in range(0, count, size))
        kept = sorted({0, count - 1, *(i for part in parts for i in _telling(self.points, part))})
        return Series(short(self.name), tuple(self.points[i] for i in kept), count - len(kept))


def _telling(points: Sequence[Point], part: range) -> Iterator[int]:
    """The indices of the least value of a part, of the greatest one, and of the first that is not drawn."""
    drawn = [i for i in part if is_drawn(points[i][1])]
    if drawn:
        yield min(drawn, key=lambda i: points[i][1])
        yield max(drawn, key=lambda i: points[i][1])
    yield from [i for i in part if not is_drawn(points[i][1])][:1]


def is_drawn(value: float) -> bool:
    """Whether a value has a place in a picture."""
    return math.isfinite(value) and abs(value) <= _LARGEST


@dataclass(frozen=True)
class Panel:
    """What is drawn in one pair of axes."""

    title: str
    series: tuple[Series, ...]

    @classmethod
    def of(cls, title: str, *series: Series) -> Panel:
        """The panel of some series, thinned."""
        return cls(short(title), tuple(one.thinned() for one in series))

    @property
    def is_logarithmic(self) -> bool:
        values = [value for series in self.series for value in series.drawn]
        return bool(values) and min(values) > _SMALLEST and max(values) / min(values) >= _WIDE

    @property
    def note(self) -> str:
        """What is not drawn; empty where all is."""
        drawn = sum(len(series.points) for series in self.series)
        left_out = sum(series.left_out for series in self.series)
        told = f"{drawn:,} of {drawn + left_out:,} points, least and greatest values among them"
        return told if left_out else ""
