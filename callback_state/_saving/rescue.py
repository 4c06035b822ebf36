"""What ``save_on_exception`` saves: a copy of the last moment from which the run can be resumed exactly.

When an exception comes, it is too late to take the state. Some callbacks have heard of a batch that was not
trained, and a step that failed has changed some variables (TensorFlow counts the iteration, draws seeds and
decays weights while it waits for the data). So a quiet point is copied in memory, again and again, as often as
that takes no more than a hundredth of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._callbacks.taken import Taken
from .._format.room import Room
from .._keras.backend import backend
from .._keras.weights import hold_variables, put_back_variables, take_variables
from .._loop.running import Running
from .decision import Event
from .ledger import Ledger

#: The largest part of the time that copies may take.
SHARE = 0.01


class Copy:
    """An interim save in memory: what the state file would say, the ledger after it, the model's variables."""

    def __init__(self, taken: Taken, ledger: Ledger, model: Any) -> None:
        taken.arrays.copied(Room())  # training goes on
        self.taken, self.ledger, self._model = taken, ledger, model
        self._variables = take_variables(model)

    @contextmanager
    def put_in_place(self) -> Iterator[None]:
        """Within the block the variables of the model have the values of the copy."""
        has_now = not backend().drop_step(self._model)
        now = hold_variables(self._model) if has_now else []
        put_back_variables(self._variables)
        try:
            yield
        finally:
            put_back_variables(now)


class Rescue:
    """When a quiet point of one ``fit`` is copied.

    ``make`` copies the present moment, that of the event; it gives None where that moment cannot be saved.
    """

    def __init__(self, make: Callable[[Event, Running], Copy | None]) -> None:
        self._make = make
        self._event: Event | None = None
        self._next = 0.0
        self.copy: Copy | None = None  # the newest; None if nothing is newer than what is on disk

    def note(self, event: Event, running: Running, *, is_saved: bool) -> None:
        """All callbacks have heard the end of a batch or of an epoch."""
        self._event = event
        if is_saved:
            self._event = self.copy = None
        elif event.batch is None or time.monotonic() >= self._next:
            self.renew(running)

    def renew(self, running: Running) -> None:
        """Copy the present moment, unless it is on disk."""
        if self._event is None:
            return
        began = time.monotonic()
        self.copy = self._make(self._event, running) or self.copy
        self._next = began + (time.monotonic() - began) / SHARE
