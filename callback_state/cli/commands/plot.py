"""``callback-state plot``: a run as a picture."""

from __future__ import annotations

import click

from ...exceptions import CallbackStateError
from ..pictures.timeline import timeline_of
from ..runs.recorded import recorded
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.output import print_line
from ..shell.target import output_option
from ..shell.template import run_option

__all__ = ["command"]


@page(
    "plot",
    examples={
        "callback-state plot ckpt -o run.png": "the run whose checkpoint is the newest in ckpt",
        "callback-state plot ckpt -o run.svg --run '{epoch:03d}.keras'": "the run that gives its files this name",
    },
    exits=(Exit.NOT_FOUND, Exit.DAMAGED),
)
@click.argument("path", metavar="[PATH]", default=".", type=click.Path())
@output_option("run.png", (".png", ".svg", ".pdf"), "the picture")
@run_option
def command(path: str, output: str, run: str | None) -> int:
    """Draw a run over its epochs.

    Learning rate, metrics and every callback's numbers that change (of arrays up to eight elements), each in axes
    of its own, with each restart marked and the wall-clock time lost to it: from the checkpoint that it went on
    from until training went on. A start that was killed before its first save leaves no mark.

    PATH is a directory, the current one by default, or a single checkpoint. Only state files are read. Numbers of
    callbacks are known at the checkpoints that are in the directory, everything else at the end of each epoch. Of
    very many points, charts and restarts not all are drawn, and that is said.
    Needs matplotlib: pip install "callback_state[plot]".
    """
    found = recorded(path, run)
    try:
        from ..pictures.figure import figure_of
    except ModuleNotFoundError as error:
        raise CallbackStateError(
            f"a picture needs {str(error.name).partition('.')[0]}, which is not installed: pip install "
            f'"callback_state[plot]". callback-state report does without'
        ) from error
    figure_of(found, timeline_of(found)).savefig(output)
    print_line(output)
    return Exit.OK
