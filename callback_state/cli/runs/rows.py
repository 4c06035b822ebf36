"""The checkpoints of a run as a table and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..._checkpoints.directory import Listed, Run
from ..._units import age_of, size_of
from ..shell.output import Cell, Table
from ..values.phrases import value_of
from .direction import best_of, better_in

_COLUMNS = (
    "checkpoint",
    "epoch from 1",
    "batch from 1",
    "monitored",
    "size",
    "age",
    "callbacks",
    "verified",
    "marks",
)
_NUMBERS = frozenset({"epoch from 1", "batch from 1", "size", "age", "callbacks"})
#: At most so many characters of the name of the monitored series are shown.
_NAME = 40
#: What is shown of ``Listed.verified``.
VERIFIED = {True: "yes", False: "DAMAGED", None: "not checked"}
_DISPENSABLE = ("callbacks", "batch from 1", "age")
#: Left out where they say the same of every checkpoint: that no model file was read, or how many callbacks.
_COMMON = ("callbacks", "verified")


def tables_of(runs: list[Run], mode: str | None, now: float) -> list[Table]:
    """One table for each run at the time ``now`` (seconds since 1970); several have the runs' names as titles."""
    tables = []
    for run in runs:
        marks = marks_of(run, mode)
        monitor = next((c.summary.monitor_name for c in reversed(run.checkpoints) if c.summary is not None), "")
        monitor = monitor[:_NAME]
        columns = [monitor if name == "monitored" else name for name in _COLUMNS]
        rows = [_row(checkpoint, marks(checkpoint), now) for checkpoint in run.checkpoints]
        title = (run.template or "of an unknown run") if len(runs) > 1 else ""
        tables.append(_telling(Table(columns, rows, _NUMBERS | {monitor}, _DISPENSABLE, title)))
    return tables


def _telling(table: Table) -> Table:
    """The table without the columns that say nothing: those that are empty, or that only say what is common."""
    for name, *cells in zip(table.columns, *table.rows, strict=True):
        texts = {cell.text for cell in cells}
        is_common = name in _COMMON and len(texts) == 1 and texts.isdisjoint({VERIFIED[True], VERIFIED[False]})
        if texts == {""} or is_common:
            table = table.without(name)
    return table


def marks_of(run: Run, mode: str | None) -> Callable[[Listed], list[str]]:
    """A function that returns the marks of a checkpoint of this run."""
    return partial(_marks, newest=run.newest, best=best_of(run, better_in(run, mode)))


def _marks(checkpoint: Listed, newest: Listed | None, best: Listed | None) -> list[str]:
    finished = checkpoint.summary is not None and checkpoint.summary.finished
    is_final, is_interim = (f".{word}." in checkpoint.name for word in ("final", "interim"))
    is_true = {
        "best": checkpoint is best,
        "latest": checkpoint is newest,
        "finished": finished,
        "end of run": finished and is_final,
        "interim": is_interim,
    }
    return [mark for mark, there in is_true.items() if there]


def _row(checkpoint: Listed, marks: list[str], now: float) -> list[Cell]:
    summary = checkpoint.summary
    style = "red" if checkpoint.problem is not None else "green" if "best" in marks else ""
    cells = [
        checkpoint.name,
        "" if summary is None else str(summary.epoch + 1),
        "" if summary is None or summary.batch is None else str(summary.batch + 1),
        "" if summary is None else value_of(summary.monitor_value),
        size_of(checkpoint.size),
        age_of(checkpoint.saved_at, now),
        "" if summary is None else str(len(checkpoint.callbacks)),
        VERIFIED[checkpoint.verified],
        ", ".join(marks),
    ]
    return [Cell(cell, style) for cell in cells]


def as_json(run: Run, mode: str | None) -> dict[str, Any]:
    marks = marks_of(run, mode)
    rows = [checkpoint_as_json(c, marks(c)) for c in run.checkpoints]
    return {"template": run.template, "checkpoints": rows}


def checkpoint_as_json(checkpoint: Listed, marks: list[str]) -> dict[str, Any]:
    summary = checkpoint.summary
    return {
        "path": checkpoint.path,
        "epoch": summary and summary.epoch,
        "batch": summary and summary.batch,
        "monitor": summary and {"name": summary.monitor_name, "value": summary.monitor_value},
        "best": "best" in marks,
        "latest": "latest" in marks,
        "size": checkpoint.size,
        "saved_at": checkpoint.saved_at,
        "callbacks": [*checkpoint.callbacks],
        "verified": checkpoint.verified,
        "finished": summary and summary.finished,
        "problem": checkpoint.problem and str(checkpoint.problem),
    }
