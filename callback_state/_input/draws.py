"""Whether threads of the input draw from a global generator: looked at for a few batches, then no more."""

from __future__ import annotations

import pickle
import random
from typing import Any

__all__ = ["InputDraws"]


class InputDraws:
    """Notices global generators that threads of the input draw from while the model is trained on a batch.

    The first batch of an epoch is passed over, since the order of the epoch may be drawn then, and the train
    step is compiled. It is meant for a step that is compiled: an eager one may draw by itself.

    Attributes:
        found: the generators that moved, of ``"python"`` and ``"numpy"``.
        done: whether enough batches have been seen.
    """

    def __init__(self, batches: int = 7) -> None:
        self._left = batches
        self._first = True
        self._before: dict[str, Any] | None = None
        self.found: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return self._left == 0

    def new_epoch(self) -> None:
        """The batch that comes next is the first of an epoch."""
        self._first = True

    def before(self) -> None:
        """All callbacks have heard that a batch begins."""
        self._before = None if self._first or self.done else _states()
        self._first = False

    def after(self) -> None:
        """Training on the batch has ended, and no callback has heard of it yet."""
        before, self._before = self._before, None
        if before is not None:
            self._left -= 1
            now = _states()
            self.found = tuple(name for name in now if name in self.found or now[name] != before[name])


def _states() -> dict[str, Any]:
    import numpy

    return {"python": random.getstate(), "numpy": pickle.dumps(numpy.random.get_state(legacy=False))}
