"""When a run was started and what stood at the end of each epoch: for reports, over all restarts.

It is saved, but never put back into a run, so it cannot make two runs differ.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .._callbacks.capture import keyed, saved_among
from .._callbacks.numbers import numbers_of
from .._checkpoints.schema import Meta, Start
from .._checkpoints.trace import Trace as Course
from .._keras.backend import value_of


class Trace:
    """The starts of a run, and at the end of each epoch the time, the learning rate and the callbacks' numbers.

    ``meta`` is that of the checkpoint that is resumed; None for a new run. ``restored`` has the live callback for
    each of its keys: it goes on with the course of that key.
    """

    def __init__(self, meta: Meta | None = None, restored: Mapping[str, Any] | None = None) -> None:
        self._starts = [] if meta is None else [*meta.starts]
        self._trace = Course() if meta is None else _copied(meta.trace)
        self._restored = restored
        self._from = None if meta is None else meta.saved_at
        self._due: tuple[int | None, int | None]
        self._due = (None, None) if meta is None else (meta.initial_epoch, meta.first_batch)
        self._has_started = False

    def start(self, epoch: int, batch: int) -> None:
        """Training starts with this 0-based epoch and batch; only the first call counts."""
        if not self._has_started:
            self._has_started = True
            self._starts.append(Start(time.time_ns(), epoch, batch, self._from, *self._due, 0))

    def end_epoch(self, epoch: int, model: Any, callbacks: list[Any]) -> None:
        """A 0-based epoch has ended, and every callback has heard it."""
        trace, stride = self._trace, self._trace.stride
        rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
        trace.epochs.append(int(epoch))
        trace.learning_rate.append(None if rate is None else float(value_of(rate)))
        trace.ended_at.append(int(time.time()))
        if trace.stride > stride:
            for column in trace.columns():
                del column[1::2]
        if (len(trace.epochs) - 1) % trace.stride == 0:
            self._note(keyed(saved_among(callbacks)), len(trace.noted) - 1)

    def _note(self, live: dict[str, Any], before: int) -> None:
        """Note the numbers of the callbacks, None where there is none; ``before`` ends of epochs have theirs."""
        noted = self._trace.numbers
        if self._restored is not None:
            _rename(noted, self._restored, live)
            self._restored = None
        for key, callback in live.items():
            for name, number in numbers_of(callback, noted.get(key, ())).items():
                of = noted.setdefault(key, {})
                if name not in of:
                    of[name] = [None] * before
                of[name].append(number)
        for column in self._trace.columns():
            column += [None] * (before + 1 - len(column))

    def taken(self, beside: int) -> tuple[list[Start], Course]:
        """Copies for a state file; ``beside`` checkpoints of this run were in the directory at this start."""
        starts = [*self._starts]
        if self._has_started:
            starts[-1] = starts[-1]._replace(beside=beside)
        return starts, _copied(self._trace)


def _rename(noted: dict[str, Any], restored: Mapping[str, Any], live: dict[str, Any]) -> None:
    """Give each column the key that its callback has in this process."""
    now = {id(callback): key for key, callback in live.items()}
    found = {now[id(c)]: noted.pop(key) for key, c in restored.items() if key in noted and id(c) in now}
    for key in live:
        noted.pop(key, None)  # another callback has had this key
    noted.update(found)


def _copied(trace: Course) -> Course:
    numbers = {key: {name: [*column] for name, column in of.items()} for key, of in trace.numbers.items()}
    return Course([*trace.epochs], [*trace.learning_rate], [*trace.ended_at], numbers)
