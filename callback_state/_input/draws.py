"""Do threads of the input draw from a global generator? This is watched for a few batches."""

from __future__ import annotations

import pickle
import random
from typing import Any


class InputDraws:
    """Notices when a global generator moves while the model is trained on one of the next batches.

    The first batch of each epoch is left out: the order of the epoch may be drawn then, and the train step is
    compiled. It is for compiled steps only, because an eager step may draw by itself.
    """

    def __init__(self) -> None:
        self._left = 7
        self._first = True
        self._before: dict[str, Any] | None = None
        #: The generators that moved: "python", "numpy" or both.
        self.found: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        return self._left == 0

    def new_epoch(self) -> None:
        """The next batch is the first of an epoch."""
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
