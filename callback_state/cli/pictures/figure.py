"""A timeline as a matplotlib figure. It needs no display and does not use pyplot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any

from matplotlib.figure import Figure

from ..._units import duration
from ..runs.recorded import Recorded
from ..shell.output import printable
from ..values.phrases import short, some
from .series import Panel, is_drawn
from .timeline import Restart, Timeline

#: Legible on white, and distinct also for colour-blind readers: the palette of Okabe and Ito.
_COLOURS, _DASHES, _MARK = ("#0072b2", "#d55e00"), ("-", (0, (4, 2))), "#7a4aa0"
_COLUMNS = 3
#: Inches of one pair of axes, and of the title and the caption together.
_WIDTH, _HEIGHT, _REST = 4.2, 2.5, 1.0
#: Characters of a line of the title or the caption for each column of axes.
_CHARACTERS = 50


def figure_of(run: Recorded, timeline: Timeline) -> Figure:
    """Draw a run, with one pair of axes for each panel of its timeline."""
    panels = [(panel.title, panel) for panel in timeline.common]
    for key, of_key in timeline.states.items():
        panels += [(f"{short(key)}: {panel.title}", panel) for panel in of_key]
    columns = max(min(_COLUMNS, len(panels)), 1)
    rows = max(math.ceil(len(panels) / columns), 1)
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows + _REST), layout="constrained", dpi=120)
    # Not wrap=True: it reads a name with two dollar signs as a formula even with parse_math=False.
    title, width = printable(f"{short(run.template)}: {timeline.standing}"), _CHARACTERS * columns
    figure.suptitle(fill(title, width), parse_math=False)
    caption = "\n".join(fill(line, width) for line in _caption(timeline))
    figure.supxlabel(caption, fontsize="small", parse_math=False)
    for i, (name, panel) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, i + 1)
        _draw(axes, panel, timeline.restarts)
        axes.set_title(printable(name), parse_math=False, fontsize="medium", loc="left")
        axes.set_xlim(0, max(timeline.end, 1) * 1.02)
    return figure


def _caption(timeline: Timeline) -> list[str]:
    lost = [f"{restart.number}: {duration(restart.lost)}" for restart in timeline.restarts]
    steady = [f"{key}.{name}" for key, names in timeline.steady.items() for name in names]
    told = {"lost to restart": lost, "these do not change and are not drawn:": steady}
    lines = [f"{what} {printable(some(items))}" for what, items in told.items() if items]
    return ["epochs trained", *lines, *timeline.remarks]


def _draw(axes: Any, panel: Panel, restarts: Sequence[Restart]) -> None:
    for i, series in enumerate(panel.series):
        axes.plot(
            [place for place, _ in series.points],
            [value if is_drawn(value) else math.nan for _, value in series.points],  # which breaks the line
            color=_COLOURS[i],
            linestyle=_DASHES[i],
            linewidth=1.4,
            label=series.role,
            marker="o" if series.has_dots else None,
            markersize=2.5,
        )
    for restart in restarts:
        axes.axvline(restart.place, color=_MARK, linestyle=":", linewidth=1.1)
        axes.annotate(
            str(restart.number),
            (restart.place, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, -8),
            textcoords="offset points",
            color=_MARK,
            fontsize="small",
        )
    if panel.is_logarithmic:
        axes.set_yscale("log")
    if len(panel.series) > 1:
        axes.legend(frameon=False, fontsize="small")
    if panel.note:
        axes.set_xlabel(panel.note, fontsize="x-small")
    axes.grid(color="#e4e4e4")
    axes.spines[["top", "right"]].set_visible(False)
