"""Values over places, reduced to what a picture can show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ..values.phrases import short

#: A positive series whose largest value is so many times its smallest is drawn on a logarithmic scale.
_WIDE = 1000
#: Larger values are not drawn; a smaller value is not drawn on a logarithmic scale.
_LARGEST, _SMALLEST = 1e300, 1e-270
#: The most points of one line: a picture has fewer columns.
_POINTS = 2000
#: With more points than this a line has no dots.
_DOTS = 120

Point = tuple[float, float]


class Pairs(Sequence[Point]):
    """Places and values as points, which are made when they are asked for: of very many only a few are drawn."""

    def __init__(self, places: Sequence[float], values: Sequence[float]) -> None:
        self._places, self._values = places, values

    def __len__(self) -> int:
        return min(len(self._places), len(self._values))

    def __getitem__(self, at: Any) -> Any:
        places, values = self._places[at], self._values[at]
        return [*zip(places, values, strict=False)] if isinstance(at, slice) else (places, values)


@dataclass(frozen=True)
class Series:
    """Values over places. A value may be infinite or NaN."""

    name: str
    points: Sequence[Point]
    #: How many points were left out.
    left_out: int = 0

    @property
    def role(self) -> str:
        """ "training" or "validation", by the name."""
        return "validation" if self.name.startswith("val_") else "training"

    @property
    def drawn(self) -> list[float]:
        """The values that can be drawn."""
        return [value for _, value in self.points if is_drawn(value)]

    @property
    def has_dots(self) -> bool:
        """Whether each point gets a dot."""
        return len(self.points) <= _DOTS

    @property
    def changes(self) -> bool:
        return len({repr(value) for _, value in self.points}) > 1

    def runs(self) -> list[list[Point]]:
        """The points that a line joins: a value that cannot be drawn breaks the line."""
        parts = groupby(self.points, key=lambda point: is_drawn(point[1]))
        return [[*points] for drawn, points in parts if drawn]

    def thinned(self) -> Series:
        """The series with a short name and at most as many points as a picture can show.

        The points are divided into parts. Of each part the smallest and the largest value stay, and one value that
        breaks the line. The first and the last point stay too.
        """
        count = len(self.points)
        if count <= _POINTS:
            return Series(short(self.name), tuple(self.points))
        size = math.ceil(count / (_POINTS // 3 - 1))
        parts = (range(start, min(start + size, count)) for start in range(0, count, size))
        kept = sorted({0, count - 1, *(i for part in parts for i in _telling(self.points, part))})
        return Series(short(self.name), tuple(self.points[i] for i in kept), count - len(kept))


def _telling(points: Sequence[Point], part: range) -> Iterator[int]:
    """The indices of the smallest and the largest value of a part, and of the first that is not drawn."""
    values = [value for _, value in points[part.start : part.stop]]
    low, high = min(values), max(values)
    if is_drawn(low) and is_drawn(high) and all(map(math.isfinite, values)):
        yield from (part.start + values.index(low), part.start + values.index(high))
        return
    drawn = [i for i in part if is_drawn(points[i][1])]
    if drawn:
        yield min(drawn, key=lambda i: points[i][1])
        yield max(drawn, key=lambda i: points[i][1])
    yield from [i for i in part if not is_drawn(points[i][1])][:1]


def is_drawn(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= _LARGEST


@dataclass(frozen=True)
class Panel:
    """The series that are drawn in one pair of axes."""

    title: str
    series: tuple[Series, ...]

    @classmethod
    def of(cls, title: str, *series: Series) -> Panel:
        """Make a panel; its series are thinned."""
        return cls(short(title), tuple(one.thinned() for one in series))

    @property
    def is_logarithmic(self) -> bool:
        values = [value for series in self.series for value in series.drawn]
        return bool(values) and min(values) > _SMALLEST and max(values) / min(values) >= _WIDE

    @property
    def note(self) -> str:
        """Says that points are left out; empty if all are drawn."""
        drawn = sum(len(series.points) for series in self.series)
        left_out = sum(series.left_out for series in self.series)
        told = f"{drawn:,} of {drawn + left_out:,} points, with the smallest and the largest values"
        return told if left_out else ""
