"""The course of a run by the clock: when it was started, and what stood at the end of each epoch.

It is told, never restored: two runs that are the same have been at work at different times.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from .._checkpoints.schema import Meta, Start, Trace
from .._keras.backend import value_of

__all__ = ["Course"]


class Course:
    """What a run has been through, over its restarts.

    Args:
        meta: of the checkpoint that it goes on from; None for a run that begins.
    """

    def __init__(self, meta: Meta | None = None) -> None:
        self._starts = [] if meta is None else [*meta.starts]
        self._trace = Trace() if meta is None else _copy(meta.trace)
        self._from = None if meta is None else meta.saved_at
        self._due = None if meta is None else (meta.initial_epoch, meta.first_batch)
        self._has_started = False

    def start(self, epoch: int, batch: int) -> None:
        """Training begins, or goes on, with this 0-based epoch and batch; heard once."""
        if not self._has_started:
            self._has_started = True
            self._starts.append(Start(time.time_ns(), epoch, batch, self._from, self._due, 0))

    def end_epoch(self, epoch: int, model: Any) -> None:
        """Everybody has heard the end of a 0-based epoch."""
        rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
        self._trace.epochs.append(int(epoch))
        self._trace.learning_rate.append(None if rate is None else float(value_of(rate)))
        self._trace.ended_at.append(time.time_ns())

    def taken(self, beside: int) -> tuple[list[Start], Trace]:
        """The starts and the trace, for a state file.

        Args:
            beside: how many checkpoints of the file's run were in its directory when this start was made.
        """
        starts = [*self._starts]
        if self._has_started:
            starts[-1] = replace(starts[-1], beside=beside)
        return starts, _copy(self._trace)


def _copy(trace: Trace) -> Trace:
    return Trace([*trace.epochs], [*trace.learning_rate], [*trace.ended_at])
