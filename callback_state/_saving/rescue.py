"""What ``save_on_exception`` saves: a copy of the last moment from which the run can be resumed exactly.

When an exception comes, it is too late to look: callbacks have heard of a batch that was not trained, and a
step that failed has changed what did not depend on the failure (TensorFlow counts the iteration, draws seeds
and decays weights while it waits for the data). So a copy is made of a quiet point in memory, again and
again, as often as it costs no more than a hundredth of the time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._checkpoints.names import interim_name
from .._keras.weights import put_back_variables, take_variables
from .._loop.running import Running
from . import ledger
from .decision import Event
from .saver import Taking

__all__ = ["Copy", "Rescue"]

#: How much of the time may go into copies.
SHARE = 0.01

_ENTRIES = ("_interim", "_replaced", "_due", "_stamp")


@dataclass(frozen=True)
class Copy:
    """An interim save that was not written: what it says, the checkpoint's entries for it, the variables."""

    taking: Taking
    entries: dict[str, Any]
    model: Any
    variables: list[Any]

    @contextmanager
    def put_in_place(self) -> Iterator[None]:
        """The model is for a while what it was then."""
        now = take_variables(self.model)
        put_back_variables(self.variables)
        try:
            yield
        finally:
            put_back_variables(now)


class Rescue:
    """The copy of one ``fit``.

    Args:
        keeper: who would save it.

    Attributes:
        copy: of the newest quiet point that was copied; None if nothing is newer than what is on disk.
    """

    def __init__(self, keeper: Any) -> None:
        self._keeper = keeper
        self._event: Event | None = None
        self._next = 0.0
        self.copy: Copy | None = None

    def note(self, event: Event, loop: Running, *, is_saved: bool) -> None:
        """Everybody has heard the end of a batch or of an epoch."""
        self._event = event
        if is_saved:
            self._event = self.copy = None
        elif event.batch is None or time.monotonic() >= self._next:
            self.renew(loop)

    def renew(self, loop: Running) -> None:
        """Copy what is now, unless it is on disk."""
        event, keeper = self._event, self._keeper
        if event is None:
            return
        began, checkpoint = time.monotonic(), keeper.checkpoint
        entries = {name: getattr(checkpoint, name) for name in _ENTRIES}
        ledger.enter_interim(checkpoint, interim_name(checkpoint.template))
        checkpoint._stamp = keeper.next_stamp(loop)
        try:
            taking = keeper.take(event, loop)
            taken = {name: getattr(checkpoint, name) for name in _ENTRIES}
            self.copy = Copy(taking, taken, keeper.model, take_variables(keeper.model))
        finally:
            vars(checkpoint).update(entries)
        cost = time.monotonic() - began
        self._next = began + cost / SHARE
