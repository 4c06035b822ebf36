"""Values over places, reduced to what a picture can show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
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

#: A place and a value; None where it is not known from which value to which one a line would lead.
Point = tuple[float, float | None]
#: Less than the shortest part of an epoch.
_LITTLE = 1e-9


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
    """Values over places. A value may be infinite or NaN; None breaks the line."""

    name: str
    points: Sequence[Point]
    #: How many points were left out.
    left_out: int = 0
    #: Whether a value holds until the next one, as the state of a callback does.
    is_stepped: bool = False

    @classmethod
    def of_state(cls, name: str, values: dict[float, float], stride: int = 1) -> Series:
        """Make the series of a number of a callback, by the epochs trained.

        The line breaks where the next value is more than ``stride`` epochs away: between them it is not known.
        """
        places = sorted(values)
        points: list[Point] = []
        for before, place in zip([*places[:1], *places], places, strict=False):
            if place - before > stride + _LITTLE:
                points.append(((before + place) / 2, None))
            points.append((place, values[place]))
        return cls(name, points, is_stepped=True)

    @property
    def known(self) -> list[tuple[float, float]]:
        """The points that have a value."""
        return [(place, value) for place, value in self.points if value is not None]

    @property
    def role(self) -> str:
        """ "training" or "validation", by the name."""
        return "validation" if self.name.startswith("val_") else "training"

    @property
    def drawn(self) -> list[float]:
        """The values that can be drawn."""
        return [value for _, value in self.known if is_drawn(value)]

    @property
    def has_dots(self) -> bool:
        """Whether each point gets a dot."""
        return len(self.points) <= _DOTS

    @property
    def changes(self) -> bool:
        return len({repr(value) for _, value in self.known}) > 1

    def runs(self) -> list[list[tuple[float, float]]]:
        """The points that a line joins: a value that cannot be drawn breaks the line."""
        parts = groupby(self.points, key=lambda point: is_drawn(point[1]))
        return [
            [(place, value) for place, value in points if value is not None] for drawn, points in parts if drawn
        ]

    def corners(self, run: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """What a line through one of :meth:`runs` goes through: also the corners of the steps, if it has steps."""
        if not self.is_stepped:
            return run
        turns = ((place, before) for (_, before), (place, _) in pairwise(run))
        return [run[0], *(point for pair in zip(turns, run[1:], strict=True) for point in pair)]

    def thinned(self) -> Series:
        """The series with a short name and at most as many points as a picture can show.

        The points are divided into parts. Of each part the smallest and the largest value stay, and one value that
        breaks the line. The first and the last point stay too.
        """
        count = len(self.points)
        if count <= _POINTS:
            return replace(self, name=short(self.name), points=tuple(self.points))
        size = math.ceil(count / (_POINTS // 3 - 1))
        parts = (range(start, min(start + size, count)) for start in range(0, count, size))
        kept = sorted({0, count - 1, *(i for part in parts for i in _telling(self.points, part))})
        points = tuple(self.points[i] for i in kept)
        return replace(self, name=short(self.name), points=points, left_out=count - len(kept))


def _telling(points: Sequence[Point], part: range) -> Iterator[int]:
    """The indices of the smallest and the largest value of a part, and of the first that is not drawn."""
    values = [value for _, value in points[part.start : part.stop]]
    known = [value for value in values if value is not None and math.isfinite(value) and abs(value) <= _LARGEST]
    if known:
        yield from (part.start + values.index(min(known)), part.start + values.index(max(known)))
    if len(known) < len(values):
        yield next(i for i in part if not is_drawn(points[i][1]))


def is_drawn(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and abs(value) <= _LARGEST


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
