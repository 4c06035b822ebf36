"""The runs of a directory as one HTML page: a table of all, and the monitored series of each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

from ..._html import Markup, element
from ..._shown import shown
from ...exceptions import CallbackStateError
from ..runs.below import Total, names_of, table_of
from ..runs.recorded import recorded
from ..values.phrases import short
from . import page
from .timeline import timeline_of

#: At most so many runs have a picture.
_PICTURES = 200


def overview(path: str, totals: list[Total]) -> str:
    """Make the page of the runs below a directory, a complete HTML document."""
    name = short(os.path.basename(shown(os.path.abspath(path))))
    return page.complete(f"Training runs in {name}", _parts(path, totals))


def _parts(path: str, totals: list[Total]) -> Iterator[Markup]:
    table = table_of(totals, path, time.time())
    yield page.table(table.columns, [tuple(cell.text for cell in row) for row in table.rows])
    yield element("h2", "The monitored series of each run")
    if len(totals) > _PICTURES:
        yield element("p", f"Of {len(totals):,} runs the first {_PICTURES} are drawn.", class_="quiet")
    drawn = []
    for name, total in [*zip(names_of(totals, path), totals, strict=True)][:_PICTURES]:
        try:
            drawn.append(_figure(name, total))
        except CallbackStateError as error:
            drawn.append(element("figure", element("figcaption", name), element("p", str(error), class_="quiet")))
    yield element("div", *drawn, class_="charts")


def _figure(name: str, total: Total) -> Markup:
    run = recorded(total.directory, total.run.template)
    timeline, monitor = timeline_of(run), run.newest.meta.monitor[0]
    panels = [panel for panel in timeline.metrics if monitor in [series.name for series in panel.series]]
    if not panels:
        told = element("p", f"It has no series {short(monitor)}.", class_="quiet")
        return element("figure", element("figcaption", name), told)
    return page.figure(replace(panels[0], title=f"{name}: {panels[0].title}"), timeline)
