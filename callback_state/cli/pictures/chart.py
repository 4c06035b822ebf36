"""A panel of a timeline as an SVG picture; the style of the page sets its colours and widths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..._html import Markup, element
from ..._units import duration
from .scale import Scale, labels
from .series import Panel, Series
from .timeline import Restart

#: In units of the picture; the page scales it to the room that it has.
WIDTH, HEIGHT = 360, 170
_RIGHT, _TOP, _BOTTOM = 340, 16, 142
#: The width of a character of a label, and the least room for those at the left.
_CHARACTER, _ROOM = 6.1, 46


def chart(panel: Panel, restarts: Sequence[Restart], end: float, **attributes: object) -> Markup | None:
    """Draw a panel up to the place ``end``, with a line for each restart; None if no value can be drawn.

    ``attributes`` are those of the picture beside its size in units, such as its place in another one.
    """
    values = [value for series in panel.series for value in series.drawn]
    if not values:
        return None
    places = [place for series in panel.series for place, _ in series.points]
    y = Scale.of(values, _BOTTOM, _TOP)
    y = replace(y, logarithmic=True) if panel.is_logarithmic else y.rounded()
    left = max(_ROOM, 8 + _CHARACTER * max(map(len, labels(y.ticks()))))
    x = Scale.of([0.0, end, *places], left, _RIGHT)
    return element(
        "svg",
        *_grid(x, y),
        *_marks(restarts, x),
        *(_line(series, i, x, y) for i, series in enumerate(panel.series)),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=described(panel, restarts),
        **attributes,
    )


def described(panel: Panel, restarts: Sequence[Restart]) -> str:
    """Describe a picture in a sentence, for a screen reader."""
    lines = [_summary(series) for series in panel.series]
    marked = f"; {len(restarts)} restarts marked" if restarts else ""
    logarithmic = ", on a logarithmic scale" if panel.is_logarithmic else ""
    return f"{panel.title} over epochs{logarithmic}: {'; '.join(lines)}{marked}."


def _summary(series: Series) -> str:
    low, high = labels([min(series.drawn), max(series.drawn)]) if series.drawn else ("none", "none")
    count, last = len(series.known) + series.left_out, series.known[-1][1]
    return f"{series.name}, {count} values from {low} to {high}, the last {last:.4g}"


def _grid(x: Scale, y: Scale) -> Iterator[Markup]:
    """Lines at round values, with their labels."""
    rows, columns = y.ticks(), [tick for tick in x.ticks() if tick == int(tick)]
    for value, text in zip(rows, labels(rows), strict=True):
        at = _at(y(value))
        yield element("line", x1=_at(x.start), x2=_RIGHT, y1=at, y2=at, class_="grid")
        yield element("text", text, x=_at(x.start - 5), y=_at(y(value) + 3.5), class_="end")
    for place, text in zip(columns, labels(columns), strict=True):
        yield element("text", text, x=_at(x(place)), y=_BOTTOM + 13, class_="middle")
    yield element("line", x1=_at(x.start), x2=_RIGHT, y1=_BOTTOM, y2=_BOTTOM, class_="axis")
    yield element("text", "epochs trained", x=_RIGHT, y=_BOTTOM + 25, class_="end")


def _marks(restarts: Sequence[Restart], x: Scale) -> Iterator[Markup]:
    last = float("-inf")
    for restart in restarts:
        at = x(restart.place)
        told = f"restart {restart.number}: {duration(restart.lost)} lost"
        number = element("text", restart.number, x=_at(at), y=_TOP - 5, class_="middle")
        yield element(
            "g",
            element("title", told),
            element("line", x1=_at(at), x2=_at(at), y1=_TOP, y2=_BOTTOM),
            *([number] if at - last > 12 else []),
            class_="restart",
        )
        last = at if at - last > 12 else last


def _line(series: Series, number: int, x: Scale, y: Scale) -> Markup:
    """The points and the lines between them; a single point is always a dot."""
    drawn = []
    for run in series.runs():
        if len(run) > 1:
            points = " ".join(f"{_at(x(place))},{_at(y(value))}" for place, value in series.corners(run))
            drawn.append(element("polyline", points=points))
        if series.has_dots or len(run) == 1:
            for place, value in run:
                title = element("title", f"{series.name} after {place:g} epochs: {value:.6g}")
                drawn.append(element("circle", title, cx=_at(x(place)), cy=_at(y(value)), r=2.2))
    return element("g", *drawn, class_=f"series s{number}")


def _at(coordinate: float) -> str:
    return f"{coordinate:.2f}".rstrip("0").rstrip(".")
