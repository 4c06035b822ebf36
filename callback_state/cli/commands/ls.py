"""``callback-state ls``: the checkpoints of a directory, with ``--watch`` also as they are written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click

from ..._checkpoints.directory import Listed, Run
from ..._store.bucket.places import pulled
from ..._store.pair import states
from ..._units import moment, size_of
from ...exceptions import CheckpointNotFoundError
from ..runs import below, rows
from ..runs.direction import mode_option
from ..runs.looks import look_at
from ..shell.command import page
from ..shell.exits import Exit
from ..shell.options import Place, as_json
from ..shell.output import is_terminal, live, print_json, print_line, print_table, say
from ..values.phrases import value_of


@page(
    examples={
        "callback-state ls ckpt": "one line for each checkpoint; the best and the latest are marked",
        "callback-state ls ckpt --verify": "read the model files too, and show which are damaged",
        "callback-state ls runs": "one line for each run, where the checkpoints are in directories below",
        "callback-state ls ckpt --json": "the same for a program",
    },
    exits=(Exit.NOT_FOUND,),
)
@click.argument("directory", metavar="[DIR]", default=".", type=Place())
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
    batches count from 1; no batch means the end of the epoch. The best checkpoint is marked by the series that the
    run monitors. Whether small or large values are better is taken from the files, or from the name of the series
    if it is a loss or an accuracy. State files are always verified. Of model files only the sizes are checked,
    unless --verify is given. A checkpoint that is not whole is listed as DAMAGED. Columns that say nothing are
    left out. "end of run" marks a .final file: at the end of the run the model was no longer that of the last
    epoch, for example because EarlyStopping put the best weights back, so the end has a file of its own. "interim"
    marks what was saved between two regular checkpoints. If a directory has several runs, each gets a table under
    the name that it gives its files. If it has no checkpoints, but directories below it have (up to four deep),
    there is one line for each of their runs: checkpoints, epochs that are over, the best value, size, age, and
    whether the run has finished, is running (a process writes there), was stopped, or is damaged.

    With --json it prints {"runs": [{"template": ..., "checkpoints": [...]}]}. "epoch" and "batch" count from 0.
    "saved_at" is nanoseconds since 1970, "size" the bytes of both files. "verified" is true, false for a damaged
    checkpoint, or null if the model file was not read. With --watch it prints one object a line. NaN and
    infinities are the texts "NaN", "Infinity", "-Infinity". If there is no directory yet, --watch waits for it.
    For a directory of runs a run is {"directory", "template", "count", "damaged", "size", "epochs", "best": null
    or {"path", "value"}, "standing", "saved_at"}.
    """
    if watch:
        if verify:
            raise click.UsageError(
                "--verify and --watch cannot be used together: every look would read every model"
            )
        return follow(lambda: _watched(directory), lambda: time.sleep(interval), mode, as_json)
    runs = _runs(directory, verify)
    if not runs and (totals := below.totals_below(directory, mode, verify=verify)):
        _show_totals(directory, totals, as_json)
        return Exit.OK
    if not runs:
        raise CheckpointNotFoundError(
            directory, "expected model files (.keras, .h5, .weights.h5), each with its .callbacks.pkl, found none"
        )
    _show(runs, mode, as_json)
    return Exit.OK


def _runs(directory: str, verify: bool) -> list[Run]:
    return look_at(directory, states(directory), verify=verify)


def _show_totals(directory: str, totals: list[below.Total], as_json: bool) -> None:
    if as_json:
        print_json({"runs": [total.as_json() for total in totals]})
        return
    print_table(below.table_of(totals, directory, time.time()))


def _watched(directory: str) -> list[Run]:
    return _runs(pulled(directory), False)


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


def follow(look: Callable[[], list[Run]], pause: Callable[[], None], mode: str | None, as_json: bool) -> Exit:
    """Show the checkpoints again and again, with a pause between two looks, until every run has finished."""
    if as_json or not is_terminal():
        seen: set[object] = set()
        return _follow(look, pause, lambda runs: _print_new(runs, mode, as_json, seen))
    with live() as show:
        return _follow(look, pause, lambda runs: show(rows.tables_of(runs, mode, time.time())))


def _follow(look: Callable[[], list[Run]], pause: Callable[[], None], show: Callable[[list[Run]], None]) -> Exit:
    while True:
        try:
            runs = look()
        except FileNotFoundError:  # the directory is not there yet, or was just removed
            runs = []
        show(runs)
        sys.stdout.flush()
        newest = [run.newest.summary if run.newest is not None else None for run in runs]
        if runs and all(summary is not None and summary.finished for summary in newest):
            return Exit.OK
        pause()


def _print_new(runs: list[Run], mode: str | None, as_json: bool, seen: set[object]) -> None:
    """Print each checkpoint once, and again when it was rewritten or turns out to be finished or damaged."""
    for run in runs:
        now = {
            (checkpoint.path, checkpoint.summary, checkpoint.verified): checkpoint
            for checkpoint in run.checkpoints
        }
        new = [checkpoint for key, checkpoint in now.items() if key not in seen]
        seen.update(now)
        if new and as_json:
            marks = rows.marks_of(run, mode)
            for checkpoint in new:
                print_json(rows.checkpoint_as_json(checkpoint, marks(checkpoint)), line=True)
        else:
            for checkpoint in new:
                print_line(", ".join(filter(None, _words(checkpoint))))


def _words(checkpoint: Listed) -> list[str]:
    summary = checkpoint.summary
    if summary is None or checkpoint.problem is not None:
        return [checkpoint.name, rows.VERIFIED[checkpoint.verified]]
    value = value_of(summary.monitor_value)
    return [
        checkpoint.name,
        moment(summary.epoch, summary.batch),
        value and f"{summary.monitor_name} {value}",
        size_of(checkpoint.size),
        "finished" if summary.finished else "",
    ]
