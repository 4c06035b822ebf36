"""``callback-state plot``: a run as a picture."""

from __future__ import annotations

from pathlib import Path

from ..pictures.sheet import sheet_of
from ..pictures.timeline import timeline_of
from ..runs.recorded import recorded
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import output_option, run_argument, run_option
from ..shell.output import print_line


@page(
    examples={
        "callback-state plot ckpt -o run.svg": "the run with the newest checkpoint in ckpt",
        "callback-state plot ckpt --run '{epoch:03d}.keras'": "the run that gives its files this name",
    },
    exits=(Exit.NOT_FOUND, Exit.DAMAGED),
)
@run_argument
@output_option("run.svg", (".svg",), "the picture")
@run_option
def command(path: str, output: str, run: str | None) -> int:
    """Draw a run over its epochs, as one SVG picture.

    The picture has the charts of callback-state report: one for the learning rate, for each metric, and for each
    number of a callback that changes (of arrays only up to eight elements). Each restart is marked with the
    wall-clock time that it has cost: from the checkpoint that it went on from until training went on. A start that
    was killed before its first save is not marked.

    PATH is a directory, the current one by default, or a single checkpoint. Only state files are read. The newest
    one knows the learning rate, the metrics and the callbacks' numbers at the end of each epoch (of a callback the
    first sixteen attributes that are a number), also of epochs whose checkpoints are deleted. Arrays and numbers
    within dicts are known only at the checkpoints that are in the directory. If there are very many points, charts
    or restarts, not all are drawn, and the picture says so.
    """
    found = recorded(path, run)
    Path(output).write_text(f"{sheet_of(found, timeline_of(found))}\n", encoding="utf-8")
    print_line(output)
    return Exit.OK
