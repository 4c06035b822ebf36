"""``callback-state report``: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from ..pictures.page import document
from ..runs.recorded import recorded
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.output import print_line
from ..shell.target import output_option
from ..shell.template import run_option

__all__ = ["command"]


@page(
    "report",
    examples={
        "callback-state report ckpt -o report.html": "the run whose checkpoint is the newest in ckpt",
        "callback-state report ckpt --run '{epoch:03d}.keras'": "the run that gives its files this name",
        "callback-state report ckpt/007.keras": "the run as this checkpoint says, alone",
    },
    exits=(Exit.NOT_FOUND, Exit.DAMAGED),
)
@click.argument("path", metavar="[PATH]", default=".", type=click.Path())
@output_option("report.html", (".html", ".htm"), "the page")
@run_option
def command(path: str, output: str, run: str | None) -> int:
    """Write a run as one HTML file.

    The page shows whether the run has finished, its restarts with the wall-clock time that each has cost, learning
    rate, metrics and every callback's numbers (of arrays up to eight elements) over epochs, the checkpoints, and
    what the callbacks were given and hold. It is one file, without a script, loads nothing from anywhere, and can
    be read on a phone.

    PATH is a directory, the current one by default, or a single checkpoint. Only state files are read. Numbers of
    callbacks are known at the checkpoints that are in the directory, everything else at the end of each epoch. Of
    very many points, charts and restarts not all are drawn, and that is said.
    """
    Path(output).write_text(document(recorded(path, run)), encoding="utf-8")
    print_line(output)
    return Exit.OK
