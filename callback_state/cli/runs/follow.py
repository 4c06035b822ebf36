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
        return _follow(look, pause, _Lines(mode, as_json))
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


class _Lines:
    """Prints each checkpoint once, and again when it was rewritten or turns out to be finished or damaged."""

    def __init__(self, mode: str | None, as_json: bool) -> None:
        self._mode, self._as_json = mode, as_json
        self._seen: set[tuple[object, ...]] = set()

    def __call__(self, runs: list[Run]) -> None:
        for run in runs:
            new = [checkpoint for checkpoint in run.checkpoints if self._is_new(checkpoint)]
            if new and self._as_json:
                marks = marks_of(run, self._mode)
                for checkpoint in new:
                    print_json(checkpoint_as_json(checkpoint, marks(checkpoint)), line=True)
            for checkpoint in new if not self._as_json else ():
                print_line(", ".join(filter(None, _words(checkpoint))))

    def _is_new(self, checkpoint: Listed) -> bool:
        seen = (checkpoint.path, checkpoint.summary, checkpoint.verified)
        is_new = seen not in self._seen
        self._seen.add(seen)
        return is_new


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
