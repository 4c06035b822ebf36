"""``callback-state ls``: the checkpoints of a directory."""

from __future__ import annotations

import time

import click

from ..._checkpoints.directory import Run
from ..._store.pair import states
from ...exceptions import CheckpointNotFoundError
from ..runs import rows
from ..runs.direction import mode_option
from ..runs.follow import follow
from ..runs.looks import look_at
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import as_json
from ..shell.output import print_json, print_line, print_table, say


@page(
    examples={
        "callback-state ls ckpt": "one line for each checkpoint; the best and the latest are marked",
        "callback-state ls ckpt --verify": "read the model files too, and show which are damaged",
        "callback-state ls ckpt --json": "the same for a program",
    },
    exits=(Exit.NOT_FOUND,),
)
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path())
@click.option("--verify", is_flag=True, help="Read the model files and compare their SHA-256.")
@mode_option
@click.option(
    "--watch",
    is_flag=True,
    help="Keep listing until every run has finished. If the output is not a terminal, print only new checkpoints.",
)
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

    There is one line for each checkpoint, the oldest first. DIR is the current directory by default. Epochs and
    batches count from 0; no batch means the end of the epoch. The best checkpoint is marked by the series that the
    run monitors. Whether small or large values are better is taken from the files, or from the name of the series
    if it is a loss or an accuracy. State files are always verified. Of model files only the sizes are checked,
    unless --verify is given. A checkpoint that is not whole is listed as DAMAGED. If a directory has several runs,
    each gets a table under the name that it gives its files.

    With --json it prints {"runs": [{"template": ..., "checkpoints": [...]}]}. "saved_at" is nanoseconds since
    1970, "size" the bytes of both files. "verified" is true, false for a damaged checkpoint, or null if the model
    file
    was not read. With --watch it prints one object a line. NaN and infinities are the texts "NaN", "Infinity",
    "-Infinity". If there is no directory yet, --watch waits for it.
    """
    if watch:
        if verify:
            raise click.UsageError(
                "--verify and --watch cannot be used together: every look would read every model"
            )
        return follow(lambda: _runs(directory, False), lambda: time.sleep(interval), mode, as_json)
    runs = _runs(directory, verify)
    if not runs:
        raise CheckpointNotFoundError(
            directory, "expected model files (.keras, .h5, .weights.h5), each with its .callbacks.pkl, found none"
        )
    _show(runs, mode, as_json)
    return Exit.OK


def _runs(directory: str, verify: bool) -> list[Run]:
    return look_at(directory, states(directory), verify=verify)


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
