"""A run as one SVG picture: the charts of the report side by side, with a title and a caption."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from textwrap import wrap

from ..._html import Markup, element
from ..._units import duration
from ..runs.recorded import Recorded
from ..values.phrases import short, some
from .chart import HEIGHT, WIDTH, chart
from .series import Panel
from .timeline import Timeline

_COLUMNS = 3
#: In units of the picture: the space around a chart, and the height of a line of text.
_GAP, _LINE = 24, 17
#: About how many characters stand in the width of a chart, in its title and in smaller text.
_TITLE, _SMALL = 46, 58


def sheet_of(run: Recorded, timeline: Timeline) -> Markup:
    """Draw a run, with one chart for each panel of its timeline."""
    panels = [(panel.title, panel) for panel in timeline.common]
    for key, of_key in timeline.states.items():
        panels += [(f"{short(key)}: {panel.title}", panel) for panel in of_key]
    columns = max(min(_COLUMNS, len(panels)), 1)
    width, y = columns * (WIDTH + _GAP) + _GAP, _GAP + _LINE
    title = f"{short(run.template)}: {timeline.standing}"
    drawn = [*_text(title, _GAP, y, _TITLE * columns, "title")]
    y += _LINE * len(drawn) + _GAP
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        room = _LINE * max(len(wrap(name, _TITLE)) for name, _ in row)
        for i, (name, panel) in enumerate(row):
            drawn += _cell(name, panel, timeline, _GAP + i * (WIDTH + _GAP), y, room)
        y += room + HEIGHT + _LINE + _GAP
    for line in _caption(timeline):
        told = [*_text(line, _GAP, y, _SMALL * columns)]
        drawn += told
        y += _LINE * len(told)
    picture = element("rect", width="100%", height="100%", class_="page"), element("style", _style()), *drawn
    size = {"width": width, "height": y, "viewBox": f"0 0 {width} {y}", "font_size": 11}
    return element("svg", *picture, xmlns="http://www.w3.org/2000/svg", role="img", aria_label=title, **size)


def _cell(name: str, panel: Panel, timeline: Timeline, x: float, y: float, room: float) -> Iterator[Markup]:
    """One chart with its title above, and its key and its note below."""
    yield from _text(name, x, y, _TITLE, "title")
    picture = chart(panel, timeline.restarts, timeline.end, x=x, y=y + room - 4, width=WIDTH, height=HEIGHT)
    yield picture or element("text", "None of its values is a number.", x=x, y=y + room + _LINE)
    below = y + room + HEIGHT + 8
    told = [*([panel.note] if panel.note else []), *(["logarithmic"] if panel.is_logarithmic else [])]
    yield element("text", ", ".join(told), x=x, y=below + (_LINE - 4) * (len(panel.series) > 1))
    for i, series in enumerate(panel.series if len(panel.series) > 1 else ()):
        at = x + 110 * i
        yield element("g", element("line", x1=at, x2=at + 27, y1=below - 4, y2=below - 4), class_=f"series s{i}")
        yield element("text", series.role, x=at + 32, y=below)


def _caption(timeline: Timeline) -> list[str]:
    lost = [f"{restart.number}: {duration(restart.lost)}" for restart in timeline.restarts]
    steady = [f"{key}.{name}" for key, names in timeline.steady.items() for name in names]
    told = {"lost to restart": lost, "these do not change and are not drawn:": steady}
    return [*(f"{what} {some(items)}" for what, items in told.items() if items), *timeline.remarks]


def _text(text: str, x: float, y: float, characters: int, class_: str = "") -> Iterator[Markup]:
    """Lines of at most so many characters."""
    for i, line in enumerate(wrap(text, characters)):
        yield element("text", line, x=x, y=y + i * _LINE, class_=class_ or None)


def _style() -> Markup:
    """What the report says of charts, with its light colours: many programs know no variables in a picture."""
    page = files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    rules = page.partition("/* charts */")[2].partition("/* end of charts */")[0]
    colours = dict(reversed(re.findall(r"(--\w+): (#\w+)", page)))  # of each the first, which is the light one
    extra = "svg .page { fill: var(--page); } svg .title { font-size: 13px; font-weight: 600; fill: var(--text); }"
    return Markup(re.sub(r"var\((--\w+)\)", lambda found: colours[found[1]], f"{rules}{extra}"))
