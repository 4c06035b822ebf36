"""The course of a run by the clock: when it was started, and what stood at the end of each epoch.

It is told, never restored: two runs that are the same have been at work at different times.
"""

from __future__ import annotations

import time
from typing import Any

from .._keras.backend import value_of

__all__ = ["Course"]

Moment = tuple[int, int]


class Course:
    """What a run has been through, over its restarts.

    Args:
        meta: of the checkpoint that it goes on from; None for a run that begins.
    """

    def __init__(self, meta: dict[str, Any] | None = None) -> None:
        self._starts: list[dict[str, Any]] = [*meta["starts"]] if meta is not None else []
        trace = meta["trace"] if meta is not None else {}
        self._trace = {name: [*trace.get(name, ())] for name in ("epochs", "learning_rate", "ended_at")}
        self._from = None if meta is None else meta["saved_at"]
        self._due = None if meta is None else _due(meta)
        self._has_started = False

    def start(self, epoch: int, batch: int) -> None:
        """Training begins, or goes on, with this 0-based epoch and batch; heard once."""
        if not self._has_started:
            self._has_started = True
            self._starts.append(
                {
                    "at": time.time_ns(),
                    "epoch": epoch,
                    "batch": batch,
                    "from": self._from,
                    "due": self._due,
                    "beside": 0,
                }
            )

    def end_epoch(self, epoch: int, model: Any) -> None:
        """Everybody has heard the end of a 0-based epoch."""
        rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
        self._trace["epochs"].append(int(epoch))
        self._trace["learning_rate"].append(None if rate is None else float(value_of(rate)))
        self._trace["ended_at"].append(time.time_ns())

    def to_meta(self, beside: int) -> dict[str, Any]:
        """For a state file's ``meta``.

        Args:
            beside: how many checkpoints of the file's run were in its directory when this start was made.
        """
        starts = [*self._starts]
        if self._has_started:
            starts[-1] = {**starts[-1], "beside": beside}
        return {"starts": starts, "trace": {name: [*values] for name, values in self._trace.items()}}


def _due(meta: dict[str, Any]) -> Moment:
    """The 0-based epoch and batch with which a run goes on from a checkpoint."""
    return meta["initial_epoch"], 0 if meta["batch"] is None else meta["batch"] + 1
