"""A directory of runs, such as those of a sweep: the runs in the directories below it, one line each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..._checkpoints.directory import Listed, Run, files_of
from ..._store.lock import is_held
from ..._units import age_of, size_of
from ..shell.output import Cell, Table
from ..values.phrases import short, value_of
from .direction import best_of, better_in
from .looks import look_at

#: How many directories deep runs are looked for: runs/<fold>/<seed>/ckpt.
_DEPTH = 4
_NUMBERS = frozenset({"checkpoints", "epochs", "best", "size", "age"})


@dataclass(frozen=True)
class Total:
    """One run of a directory, with what is known of all its checkpoints together."""

    directory: str
    run: Run
    best: Listed | None
    #: "finished", "running", "stopped", or "damaged" where no checkpoint is whole.
    standing: str

    @classmethod
    def of(cls, directory: str, run: Run, mode: str | None) -> Total:
        newest = run.newest
        if newest is None:
            standing = "damaged"
        elif newest.summary is not None and newest.summary.finished:
            standing = "finished"
        else:
            standing = "running" if is_held(directory) else "stopped"
        return cls(directory, run, best_of(run, better_in(run, mode)), standing)

    @property
    def size(self) -> int:
        """The bytes of all checkpoints."""
        return sum(checkpoint.size for checkpoint in self.run.checkpoints)

    @property
    def saved_at(self) -> int:
        """Nanoseconds since 1970 of the newest checkpoint."""
        return max(checkpoint.saved_at for checkpoint in self.run.checkpoints)

    @property
    def epochs(self) -> int | None:
        """How many epochs are over; None if no checkpoint is whole."""
        newest = None if self.run.newest is None else self.run.newest.summary
        return None if newest is None else newest.epoch + (newest.batch is None)

    @property
    def damaged(self) -> int:
        return len(self.run.checkpoints) - len(self.run.whole)

    def as_json(self) -> dict[str, Any]:
        best = None if self.best is None or self.best.summary is None else self.best
        return {
            "directory": self.directory,
            "template": self.run.template,
            "count": len(self.run.checkpoints),
            "damaged": self.damaged,
            "size": self.size,
            "epochs": self.epochs,
            "best": best and {"path": best.path, "value": best.summary and best.summary.monitor_value},
            "standing": self.standing,
            "saved_at": self.saved_at,
        }


def directories_below(path: str) -> list[str]:
    """The directories with checkpoints below one that has none itself, in the order of their names.

    Links are not followed, and hidden directories are left out.
    """
    if not os.path.isdir(path) or files_of(path):
        return []
    return [*_below(path, _DEPTH)]


def _below(path: str, depth: int) -> Iterator[str]:
    with os.scandir(path) as found:
        inner = sorted(e.name for e in found if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
    for directory in (os.path.join(path, name) for name in inner):
        if files_of(directory):
            yield directory
        elif depth > 1:
            yield from _below(directory, depth - 1)


def totals_below(path: str, mode: str | None = None, *, verify: bool = False) -> list[Total]:
    """The runs below a directory that has no checkpoints itself; with ``verify`` every model file is read."""
    found = directories_below(path)
    return [total for directory in found for total in totals_at(directory, mode, verify=verify)]


def totals_at(path: str, mode: str | None = None, *, verify: bool = False) -> list[Total]:
    """The runs of a directory, or the one of a checkpoint."""
    directory = path if os.path.isdir(path) else os.path.dirname(path) or os.curdir
    return [Total.of(directory, run, mode) for run in look_at(path, files_of(path), verify=verify)]


def names_of(totals: list[Total], path: str) -> list[str]:
    """A name for each run: its directory below ``path``, with the names of its files if there are several runs."""
    several = [total.directory for total in totals]
    names = []
    for total in totals:
        name = os.path.relpath(total.directory, path)
        is_one = several.count(total.directory) == 1
        names.append(short(name if is_one else f"{name} {total.run.template}"))
    return names


def table_of(totals: list[Total], path: str, now: float) -> Table:
    """One line for each run at the time ``now`` (seconds since 1970), and one for all of them."""
    rows = []
    for name, total in zip(names_of(totals, path), totals, strict=True):
        best = None if total.best is None else total.best.summary
        marks = [total.standing, *([f"{total.damaged} damaged"] if total.damaged else [])]
        cells = [
            name,
            str(len(total.run.checkpoints)),
            "" if total.epochs is None else str(total.epochs),
            "" if best is None else f"{short(best.monitor_name, 40)} {value_of(best.monitor_value)}",
            size_of(total.size),
            age_of(total.saved_at, now),
            ", ".join(marks),
        ]
        rows.append([Cell(cell, "red" if total.damaged else "") for cell in cells])
    count, size = sum(len(t.run.checkpoints) for t in totals), sum(total.size for total in totals)
    rows.append([*map(Cell, (f"{len(totals)} runs", str(count), "", "", size_of(size), "", ""))])
    columns = ("run", "checkpoints", "epochs", "best", "size", "age", "standing")
    return Table(columns, rows, _NUMBERS, ("age", "checkpoints"))
