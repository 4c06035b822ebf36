"""``callback-state plot``: a run as a picture."""

from __future__ import annotations

from ...exceptions import CallbackStateError
from ..pictures.timeline import timeline_of
from ..runs.recorded import recorded
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import output_option, run_argument, run_option
from ..shell.output import print_line


@page(
    examples={
        "callback-state plot ckpt -o run.png": "the run with the newest checkpoint in ckpt",
        "callback-state plot ckpt -o run.svg --run '{epoch:03d}.keras'": "the run that gives its files this name",
    },
    exits=(Exit.NOT_FOUND, Exit.DAMAGED),
)
@run_argument
@output_option("run.png", (".png", ".svg", ".pdf"), "the picture")
@run_option
def command(path: str, output: str, run: str | None) -> int:
    """Draw a run over its epochs.

    The picture has one chart for the learning rate, for each metric, and for each number of a callback that
    changes (of arrays only up to eight elements). Each restart is marked with the wall-clock time that it has
    cost: from the checkpoint that it went on from until training went on. A start that was killed before its first
    save is not marked.

    PATH is a directory, the current one by default, or a single checkpoint. Only state files are read. Numbers of
    callbacks are known at the checkpoints that are in the directory, everything else at the end of each epoch. If
    there are very many points, charts or restarts, not all are drawn, and the picture says so.
    Needs matplotlib: pip install "callback_state[plot]".
    """
    found = recorded(path, run)
    try:
        from ..pictures.figure import figure_of
    except ModuleNotFoundError as error:
        raise CallbackStateError(
            f"a picture needs {str(error.name).partition('.')[0]}, which is not installed: pip install "
            f'"callback_state[plot]". callback-state report needs no matplotlib'
        ) from error
    figure_of(found, timeline_of(found)).savefig(output)
    print_line(output)
    return Exit.OK
