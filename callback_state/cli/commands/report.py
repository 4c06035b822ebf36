"""``callback-state report``: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path

from ..pictures.overview import overview
from ..pictures.page import document
from ..runs.below import totals_at, totals_below
from ..runs.recorded import recorded
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import as_json, output_option, run_argument, run_option
from ..shell.output import print_json, print_line


@page(
    examples={
        "callback-state report ckpt -o report.html": "the run with the newest checkpoint in ckpt",
        "callback-state report ckpt --run '{epoch:03d}.keras'": "the run that gives its files this name",
        "callback-state report runs": "all runs in the directories below: a line and a chart each",
        "callback-state report ckpt/007.keras": "the run as this single checkpoint describes it",
    },
    exits=(Exit.NOT_FOUND, Exit.DAMAGED),
)
@run_argument
@output_option("report.html", (".html", ".htm"), "the page")
@run_option
@as_json
def command(path: str, output: str, run: str | None, as_json: bool) -> int:
    """Write a run as one HTML file.

    The page shows whether the run has finished, its restarts and the wall-clock time that each has cost, the
    learning rate, the metrics and every callback's numbers over epochs (of arrays only up to eight elements), the
    checkpoints, and the configuration and state of the callbacks. It is a single file without a script, it loads
    nothing from anywhere, and it can be read on a phone.

    PATH is a directory, the current one by default, or a single checkpoint. Only state files are read. The newest
    one knows the learning rate, the metrics and the callbacks' numbers at the end of each epoch (of a callback the
    first sixteen attributes that are a number), also of epochs whose checkpoints are deleted. Arrays and numbers
    within dicts are known only at the checkpoints that are in the directory. If there are very many points, charts
    or restarts, not all are drawn, and the page says so.

    If PATH has no checkpoints, but directories below it have (up to four deep), the page has a line for each of
    their runs, and a chart of the series that it monitors.

    With --json it prints {"path": the page, "runs": [...]}, each run as callback-state ls --json says it of a
    directory of runs.
    """
    totals = totals_below(path) if run is None else []
    page = overview(path, totals) if totals else document(recorded(path, run))
    Path(output).write_text(page, encoding="utf-8")
    if as_json:
        print_json({"path": output, "runs": [total.as_json() for total in totals or totals_at(path)]})
        return Exit.OK
    print_line(output)
    return Exit.OK
