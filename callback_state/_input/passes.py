"""Where the next pass over some data begins: counted while passes begin, and set when a run is resumed."""

from __future__ import annotations

import operator
import threading
from typing import Any


def natural(name: str, value: Any) -> int:
    """An integer of any kind, 0 or more, as a Python int; ``name`` is what the error calls it."""
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(f"{name} must be an integer, 0 or more; got {value!r}.")
    return number


class Passes:
    """How many passes over the data have begun, and where the next one begins.

    A pass begins in a thread of tf.data, when its first element is read. The thread that trains sets where it
    begins; hence the lock. ``batches`` is the number of batches of every epoch; None if it is not known.

    >>> passes = Passes(10)
    >>> passes.begin(), passes.begin(), passes.begun
    ((0, 0), (1, 0), 2)
    >>> passes.enter(7, 4)
    >>> passes.begin(), passes.begin(), passes.begun
    ((7, 4), (8, 0), 9)
    """

    def __init__(self, batches: int | None) -> None:
        self.batches = batches
        self._lock = threading.Lock()
        self._next = (0, 0)

    @property
    def begun(self) -> int:
        """How many passes have begun; this is also the 0-based epoch of the next pass."""
        with self._lock:
            return self._next[0]

    def enter(self, epoch: int, batch: int = 0) -> None:
        """Let the next pass begin with this 0-based epoch and batch; an error changes nothing."""
        position = (natural("epoch", epoch), natural("batch", batch))
        if self.batches is not None and position[1] >= self.batches:
            raise ValueError(
                f"there is no batch={batch}: an epoch has {self.batches}, counted from 0. "
                f"After its last batch comes enter({position[0] + 1})."
            )
        with self._lock:
            self._next = position

    def begin(self) -> tuple[int, int]:
        """(0-based epoch, 0-based first batch) of the pass that begins now; the next pass is one epoch later."""
        with self._lock:
            epoch, batch = self._next
            self._next = (epoch + 1, 0)
        return epoch, batch
