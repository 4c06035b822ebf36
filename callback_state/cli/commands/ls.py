"""``callback-state ls``: the checkpoints of a directory."""

from __future__ import annotations

import time

import click

from ..._checkpoints.directory import Run, look, runs_in
from ..._store.pair import states
from ...exceptions import CheckpointNotFoundError
from ..runs import rows
from ..runs.direction import mode_option
from ..runs.follow import follow
from ..shell.command import as_json, page
from ..shell.exits import Exit
from ..shell.output import print_json, print_line, print_table, say
from ..shell.progress import watched

__all__ = ["command"]


@page(
    "ls",
    examples={
        "callback-state ls ckpt": "each checkpoint with its moment, the best and the latest marked",
        "callback-state ls ckpt --verify": "read the model files too, and say which are damaged",
        "callback-state ls ckpt --json": "the same for a program",
    },
    exits=(Exit.NOT_FOUND,),
)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path())
@click.option("--verify", is_flag=True, help="Read the model files and compare their SHA-256.")
@mode_option
@click.option("--watch", is_flag=True, help="Go on until every run has finished; on no terminal, new ones only.")
@click.option(
    "--interval",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0.05),
    metavar="SECONDS",
    help="How often --watch looks.",
)
@as_json
def command(directory: str, verify: bool, mode: str | None, watch: bool, interval: float, as_json: bool) -> int:
    """List the checkpoints of a directory.

    One line for each checkpoint, oldest first; DIR is the current directory by default. Epochs and batches count
    from 0; no batch means the end of the epoch. "best" is marked by the series that the run monitors, if the files
    tell which values are better, or its name does: a loss or an accuracy. The state files are verified always; of
    the model files only the sizes are looked at, unless --verify is given. What is not whole is listed as DAMAGED.
    Several runs in one directory are listed one by one, under the names that they give their files.

    With --json it prints {"runs": [{"template": ..., "checkpoints": [...]}]}; "saved_at" is nanoseconds since
    1970, "size" bytes of both files, "verified" is true, false for a damaged one, or null for one whose model file
    was not read. With --watch it prints one object a line. NaN and infinities are the texts "NaN", "Infinity",
    "-Infinity". As long as there is no directory, --watch waits for one.
    """
    if watch:
        if verify:
            raise click.UsageError("--verify would read every model file at each look of --watch: choose one")
        return follow(lambda: _runs(directory, False), lambda: time.sleep(interval), mode, as_json)
    runs = _runs(directory, verify)
    if not runs:
        raise CheckpointNotFoundError(
            directory, "expected model files (.keras, .h5, .weights.h5), each with its .callbacks.pkl, found none"
        )
    _show(runs, mode, as_json)
    return Exit.OK


def _runs(directory: str, verify: bool) -> list[Run]:
    files = states(directory)
    sizes = [model for model, _ in files] if verify else []
    looks = (look(model, own, verify=verify) for model, own in watched(files, sizes))
    return runs_in(directory, [*filter(None, looks)])


def _show(runs: list[Run], mode: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"runs": [rows.as_json(run, mode) for run in runs]})
        return
    for i, table in enumerate(rows.tables_of(runs, mode, time.time())):
        if i:
            print_line()
        print_table(table)
    for problem in (c.problem for run in runs for c in run.checkpoints if c.problem is not None):
        say(str(problem))
