"""``callback-state ls --watch``: the checkpoints of running trainings, as they are written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from ..._checkpoints.directory import Listed, Run
from ..._units import size_of
from ..shell.exits import Exit
from ..shell.output import is_terminal, live, print_json, print_line
from ..values.phrases import moment_of, value_of
from .rows import VERIFIED, checkpoint_as_json, marks_of, tables_of

Show = Callable[[list[Run]], None]


def follow(look: Callable[[], list[Run]], pause: Callable[[], None], mode: str | None, as_json: bool) -> Exit:
    """Show the checkpoints again and again, with a pause between two looks, until every run has finished."""
    if as_json or not is_terminal():
        seen: set[object] = set()
        return _follow(look, pause, lambda runs: _print_new(runs, mode, as_json, seen))
    with live() as show:
        return _follow(look, pause, lambda runs: show(tables_of(runs, mode, time.time())))


def _follow(look: Callable[[], list[Run]], pause: Callable[[], None], show: Show) -> Exit:
    while True:
        try:
            runs = look()
        except FileNotFoundError:  # the directory is not there yet, or was just removed
            runs = []
        show(runs)
        sys.stdout.flush()
        if runs and all(_is_finished(run.newest) for run in runs):
            return Exit.OK
        pause()


def _is_finished(checkpoint: Listed | None) -> bool:
    return checkpoint is not None and checkpoint.summary is not None and checkpoint.summary.finished


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
            marks = marks_of(run, mode)
            for checkpoint in new:
                print_json(checkpoint_as_json(checkpoint, marks(checkpoint)), line=True)
        else:
            for checkpoint in new:
                print_line(", ".join(filter(None, _words(checkpoint))))


def _words(checkpoint: Listed) -> list[str]:
    summary = checkpoint.summary
    if summary is None or checkpoint.problem is not None:
        return [checkpoint.name, VERIFIED[checkpoint.verified]]
    value = value_of(summary.monitor_value)
    return [
        checkpoint.name,
        moment_of(summary.epoch, summary.batch),
        value and f"{summary.monitor_name} {value}",
        size_of(checkpoint.size),
        "finished" if summary.finished else "",
    ]
