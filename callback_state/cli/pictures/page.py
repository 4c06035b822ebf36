"""A run as one HTML file: it has no script and loads nothing, and its policy forbids both."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable, Iterator
from importlib.resources import files
from string import Template
from typing import Any

from ..._html import Markup, element
from ..._shown import shown
from ..._units import beginning, duration, moment, time_of
from ..._version import __version__
from ..runs.recorded import Recorded, State
from ..values.described import told_of
from ..values.phrases import short, some, value_of, words
from .chart import chart
from .series import Panel
from .timeline import Timeline, timeline_of

#: At most so many rows, doubts, characters of a doubt, and names are shown; the page says how many more there are.
_ROWS, _DOUBTS, _SENTENCE, _NAMES = 5000, 100, 1000, 100


def document(run: Recorded) -> str:
    """Make the report of a run, a complete HTML document."""
    return complete(_title(run), _parts(run, timeline_of(run)))


def complete(title: str, parts: Iterable[Markup]) -> str:
    """Make a complete HTML document of the parts of a page."""
    skeleton = files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    body = element("main", element("h1", title), *parts)
    escaped = element("title", title).removeprefix("<title>").removesuffix("</title>")
    return Template(skeleton).substitute(policy=_policy(skeleton), title=escaped, body=body)


def _title(run: Recorded) -> str:
    return f"Training run {short(run.template)}"


def _policy(skeleton: str) -> str:
    """A policy that allows the page's own style, known by its digest, and nothing else to be loaded or run."""
    style = skeleton.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _parts(run: Recorded, timeline: Timeline) -> Iterator[Markup]:
    yield from _head(run, timeline)
    yield from _doubts(run, timeline)
    yield from _restarts(timeline)
    yield from _charts(timeline)
    yield from _checkpoints(run)
    told = told_of(run.newest.snapshot)
    yield from _callbacks(told)
    yield from _software(told)


def _head(run: Recorded, timeline: Timeline) -> Iterator[Markup]:
    directory = os.path.basename(shown(os.path.abspath(run.path)))
    yield element("p", f"{timeline.standing[0].upper()}{timeline.standing[1:]}. Directory {directory}.")
    meta, best = run.newest.meta, run.best
    facts = [("newest checkpoint", run.newest.name, time_of(meta.saved_at))]
    if best is not None:
        facts.append(("best checkpoint", best.name, f"{short(meta.monitor[0])} {value_of(best.meta.monitor[1])}"))
    if meta.starts:
        facts.append(("began", time_of(meta.starts[0].at), ""))
        facts.append(("restarts that saved", str(timeline.restarted), f"{duration(timeline.lost)} lost"))
    told = (
        element("div", element("dt", name), element("dd", value), element("dd", more, class_="quiet"))
        for name, value, more in facts
    )
    yield element("dl", *told, class_="facts")


def _doubts(run: Recorded, timeline: Timeline) -> Iterator[Markup]:
    doubts = [*timeline.remarks, *run.aside, *map(str, run.newest.meta.doubts)]
    if run.others:
        doubts.insert(0, f"The directory also has other runs: {some(run.others)}.")
    told = [short(doubt, _SENTENCE) for doubt in doubts[:_DOUBTS]]
    if len(doubts) > _DOUBTS:
        told.append(f"{len(doubts) - _DOUBTS:,} more.")
    if told:
        yield element("h2", "Notes")
        yield element("div", element("ul", *(element("li", doubt) for doubt in told)), class_="doubts")


def _restarts(timeline: Timeline) -> Iterator[Markup]:
    if not timeline.restarts:
        return
    yield element("h2", "Restarts")
    yield element(
        "p",
        "A restart loses the time from the checkpoint that it went on from until training went on: the pause, and "
        "the batches that are trained again. A start that was killed before its first save is part of the next.",
        class_="quiet",
    )
    yield table(
        ("#", "lost", "went on with (from 1)", "at", "from the checkpoint saved at"),
        [
            (r.number, duration(r.lost), beginning(r.epoch, r.batch), time_of(r.at), time_of(r.saved_at))
            for r in timeline.restarts
        ],
    )


def _charts(timeline: Timeline) -> Iterator[Markup]:
    if timeline.common:
        yield element("h2", "Learning rate and metrics")
        yield _figures(timeline.common, timeline)
    if timeline.states or any(timeline.steady.values()):
        yield element("h2", "State of the callbacks")
        yield element(
            "p",
            "Plain numbers are known over the whole run, arrays and values of dicts only at checkpoints in the "
            "directory. There is no line across epochs that are not known.",
            class_="quiet",
        )
    for key, steady in timeline.steady.items():
        panels = timeline.states.get(key, [])
        if panels or steady:
            yield element("h3", short(key))
            yield _figures(panels, timeline)
        if steady:
            yield element("p", f"These do not change and are not drawn: {some(steady, _NAMES)}.", class_="quiet")


def _figures(panels: list[Panel], timeline: Timeline) -> Markup:
    return element("div", *(figure(panel, timeline) for panel in panels), class_="charts")


def figure(panel: Panel, timeline: Timeline) -> Markup:
    """Make the picture of a panel with its title, its key and a table of its values."""
    picture = chart(panel, timeline.restarts, timeline.end)
    keys = [_key(series.role, i) for i, series in enumerate(panel.series)] if len(panel.series) > 1 else []
    wide = element("span", "logarithmic", class_="key quiet") if panel.is_logarithmic else ""
    return element(
        "figure",
        element("figcaption", panel.title, *keys, wide),
        picture or element("p", "None of its values is a number.", class_="quiet"),
        element("p", f"Drawn and listed: {panel.note}.", class_="quiet") if panel.note else "",
        element("details", element("summary", "values"), _values(panel)),
    )


def _key(name: str, number: int) -> Markup:
    line = element("line", x1=0, x2=27, y1=5, y2=5)
    sample = element("g", line, class_=f"series s{number}")
    return element("span", element("svg", sample, viewBox="0 0 27 10", aria_hidden="true"), name, class_="key")


def _values(panel: Panel) -> Markup:
    columns = [dict(series.known) for series in panel.series]
    places = sorted({place for column in columns for place in column})
    rows = [
        (f"{place:g}", *(f"{column[place]:.7g}" if place in column else "" for column in columns))
        for place in places
    ]
    return table(("epochs", *(series.name for series in panel.series)), rows)


def _checkpoints(run: Recorded) -> Iterator[Markup]:
    yield element("h2", f"Checkpoints ({len(run.states)})")
    yield element(
        "p", "A checkpoint was saved after its epoch or batch. Epochs and batches count from 1.", class_="quiet"
    )
    rows = [
        (
            state.name,
            moment(state.meta.epoch, state.meta.batch),
            value_of(state.meta.monitor[1]),
            time_of(state.meta.saved_at),
            ", ".join(_notes(state, run)),
        )
        for state in reversed(run.states)
    ]
    yield table(("file", "saved after", short(run.newest.meta.monitor[0]), "saved", ""), rows)


def _notes(state: State, run: Recorded) -> Iterator[str]:
    if state is run.newest:
        yield "newest"
    if state is run.best:
        yield "best"
    if state.meta.finished:
        yield "finished"


def _callbacks(told: dict[str, Any]) -> Iterator[Markup]:
    yield element("h2", f"Callbacks ({len(told['callbacks'])})")
    for one in told["callbacks"]:
        yield element("h3", short(one["key"]), " ", element("span", short(one["class"]), class_="quiet"))
        yield _beside(configuration=one["configuration"], state=one["state"])


def _software(told: dict[str, Any]) -> Iterator[Markup]:
    yield element("h2", "Software and arguments")
    yield _beside(versions=told["versions"], training_args=told["training_args"])
    yield element("p", f"Written by callback-state report {__version__}.", class_="quiet")


def _beside(**tables: Any) -> Markup:
    """Tables of names and values, side by side if there is room."""
    columns = (element("div", _named(title, values)) for title, values in tables.items())
    return element("div", *columns, class_="columns")


def _named(title: str, values: Any) -> Markup:
    if not values or not isinstance(values, dict) or "$type" in values:
        return element("p", f"{title}: {words(values) if values else 'none'}", class_="quiet")
    rows = [(short(name), element("code", words(value))) for name, value in values.items()]
    return table((title, ""), rows, "scroll plain")


def table(columns: Iterable[str], rows: list[Any], class_: str = "scroll") -> Markup:
    """A table that scrolls within itself if the page is narrower."""
    head = element("tr", *(element("th", name, scope="col") for name in columns))
    more = [(f"... {len(rows) - _ROWS:,} more",)] if len(rows) > _ROWS else []
    body = (element("tr", *(element("td", cell) for cell in row)) for row in (*rows[:_ROWS], *more))
    made = element("table", element("thead", head), element("tbody", *body))
    return element("div", made, class_=class_, tabindex=0)
