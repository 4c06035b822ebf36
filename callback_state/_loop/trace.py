"""When a run was started and when its epochs ended: for reports, over all restarts.

It is saved, but never put back into a run, so it cannot make two runs differ.
"""

from __future__ import annotations

import time
from typing import Any

from .._checkpoints import schema
from .._checkpoints.schema import Meta, Start
from .._keras.backend import value_of


class Trace:
    """The starts of a run, and the time and the learning rate at the end of each epoch.

    ``meta`` is that of the checkpoint that is resumed; None for a new run.
    """

    def __init__(self, meta: Meta | None = None) -> None:
        self._starts = [] if meta is None else [*meta.starts]
        self._trace = schema.Trace() if meta is None else _copied(meta.trace)
        self._from = None if meta is None else meta.saved_at
        self._due: tuple[int | None, int | None]
        self._due = (None, None) if meta is None else (meta.initial_epoch, meta.first_batch)
        self._has_started = False

    def start(self, epoch: int, batch: int) -> None:
        """Training starts with this 0-based epoch and batch; only the first call counts."""
        if not self._has_started:
            self._has_started = True
            self._starts.append(Start(time.time_ns(), epoch, batch, self._from, *self._due, 0))

    def end_epoch(self, epoch: int, model: Any) -> None:
        """A 0-based epoch has ended."""
        rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
        self._trace.epochs.append(int(epoch))
        self._trace.learning_rate.append(None if rate is None else float(value_of(rate)))
        self._trace.ended_at.append(int(time.time()))

    def taken(self, beside: int) -> tuple[list[Start], schema.Trace]:
        """Copies for a state file; ``beside`` checkpoints of this run were in the directory at this start."""
        starts = [*self._starts]
        if self._has_started:
            starts[-1] = starts[-1]._replace(beside=beside)
        return starts, _copied(self._trace)


def _copied(trace: schema.Trace) -> schema.Trace:
    return schema.Trace(*([*column] for column in vars(trace).values()))
